//! An error and its causes as one line.

use std::error::Error;

/// The error and its causes, leaving out causes that the line before already says.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Says(&'static str, #[source] Option<Box<Says>>);

    #[test]
    fn causes_are_not_said_twice() {
        let disk = Says("disk full", None);
        let file = Says("cannot write x: disk full", Some(disk.into()));
        assert_eq!(with_causes(&Says("training", Some(file.into()))), "training: cannot write x: disk full");
    }
}
