//! Errors of the crates as Python exceptions.

use std::any::Any;
use std::error::Error;
use std::fmt;

use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;
use revela_base::causes::with_causes;
use revela_base::interrupt::Interrupted;
use revela_eval::EvalError;
use revela_index::Error as IndexError;
use revela_model::ModelError;
use revela_pipeline::PipelineError;
use revela_search::QueryError;
use revela_text::TextError;
use revela_train::TrainError;

pyo3::create_exception!(
    revela,
    RevelaError,
    PyException,
    "What went wrong, with the path and what to do. Input that makes no sense is a ValueError instead."
);

/// Why a call has no result, while no thread may touch Python.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was handed in makes no sense.
    Input(String),
    /// Anything else.
    Other(String),
    /// It was asked to stop.
    Interrupted,
    /// Python code that was called failed.
    Python(PyErr),
}

impl Failure {
    pub(crate) fn input(text: impl Into<String>) -> Self {
        Self::Input(text.into())
    }

    /// Of something that panicked, which is a fault of this program.
    pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Self::Other(format!("internal error: {said}; please report this"))
    }

    fn of(error: &(dyn Error + 'static), is_input: bool) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let of_model = error.downcast_ref::<ModelError>();
            if error.is::<Interrupted>() || matches!(of_model, Some(ModelError::Interrupted(_))) {
                return Self::Interrupted;
            }
            cause = error.source();
        }
        match is_input {
            true => Self::Input(with_causes(error)),
            false => Self::Other(with_causes(error)),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(text) | Self::Other(text) => f.write_str(text),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Python(error) => error.fmt(f),
        }
    }
}

impl Error for Failure {}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Input(text) => PyValueError::new_err(text),
            Failure::Other(text) => RevelaError::new_err(text),
            Failure::Interrupted => PyKeyboardInterrupt::new_err(()),
            Failure::Python(error) => error,
        }
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<Interrupted> for Failure {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        IndexError::from(error).into()
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        let error = match error {
            // What kept documents from being handed over.
            IndexError::Source(source) => match source.downcast::<Self>() {
                Ok(failure) => return *failure,
                Err(source) => IndexError::Source(source),
            },
            other => other,
        };
        let is_input = matches!(
            error,
            IndexError::Dimension { .. }
                | IndexError::Row { .. }
                | IndexError::Shape { .. }
                | IndexError::DuplicateId { .. }
                | IndexError::WrongEncoder { .. }
                | IndexError::Predicate(_)
                | IndexError::Unsupported(_)
                | IndexError::Option { .. }
        );
        Self::of(&error, is_input)
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        let is_input = matches!(error, ModelError::Device(_) | ModelError::Targets(_));
        Self::of(&error, is_input)
    }
}

impl From<EvalError> for Failure {
    fn from(error: EvalError) -> Self {
        let is_other = matches!(error, EvalError::File(_) | EvalError::BadEntry { .. });
        Self::of(&error, !is_other)
    }
}

impl From<TextError> for Failure {
    fn from(error: TextError) -> Self {
        let is_input = matches!(error, TextError::Setting { .. });
        Self::of(&error, is_input)
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Model(error) => error.into(),
            TrainError::Text(error) => error.into(),
            other => {
                let is_input = matches!(other, TrainError::ConfigFile { .. } | TrainError::Setting { .. });
                Self::of(&other, is_input)
            }
        }
    }
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Text(error) => error.into(),
            PipelineError::Model(error) => error.into(),
            PipelineError::Index(error) => error.into(),
            PipelineError::Eval(error) => error.into(),
            PipelineError::Train(error) => error.into(),
            other => {
                let is_input = matches!(
                    other,
                    PipelineError::NothingLeft { .. }
                        | PipelineError::Ungrouped { .. }
                        | PipelineError::NoMetric
                );
                Self::of(&other, is_input)
            }
        }
    }
}
