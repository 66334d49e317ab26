//! Mails: what a person would read of them.

use mail_parser::{Address, MessageParser};

/// A mail's text, with sender and date above it.
pub(super) struct Mail {
    pub(super) subject: String,
    pub(super) text: String,
}

/// Reads a mail; nothing where there is none. Attachments are left out.
pub(super) fn read(bytes: &[u8]) -> Option<Mail> {
    let message = MessageParser::default().parse(bytes)?;
    let mut text = String::new();
    for (name, people) in [("From", message.from()), ("To", message.to())] {
        let people = people.map(people_of).unwrap_or_default();
        if !people.is_empty() {
            text.push_str(&format!("{name}: {people}\n"));
        }
    }
    if let Some(date) = message.date() {
        text.push_str(&format!("Date: {}\n", date.to_rfc3339()));
    }
    for number in 0..message.text_body_count() {
        if let Some(body) = message.body_text(number) {
            text.push('\n');
            text.push_str(body.trim());
            text.push('\n');
        }
    }
    let text = text.replace('\0', "");
    Some(Mail { subject: message.subject().unwrap_or_default().trim().to_owned(), text })
}

fn people_of(address: &Address<'_>) -> String {
    let person = |one: &mail_parser::Addr<'_>| match (one.name(), one.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) => String::new(),
    };
    address.iter().map(person).filter(|person| !person.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_attachments_are_not() {
        let mail = b"From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nTo: a@example.org, b@example.org\r\n\
            Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Sat, 20 Nov 2021 14:22:01 -0800\r\n\
            MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\
            Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            Sch=C3=B6n.\r\n--x\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment\r\n\
            Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n--x--\r\n";
        let mail = read(mail).unwrap();
        assert_eq!(mail.subject, "Gr\u{fc}\u{df}e");
        assert_eq!(
            mail.text,
            "From: J\u{fc}rgen <j@example.org>\nTo: a@example.org, b@example.org\nDate: 2021-11-20T14:22:01-08:00\n\nSch\u{f6}n.\n"
        );
    }

    #[test]
    fn a_page_is_read_as_text_and_nothing_is_no_mail() {
        let mail = read(b"Subject: s\r\nContent-Type: text/html\r\n\r\n<p>One</p><p>Two</p>").unwrap();
        assert!(mail.text.contains("One") && mail.text.contains("Two") && !mail.text.contains('<'));
        assert!(read(b"").is_none());
    }
}
