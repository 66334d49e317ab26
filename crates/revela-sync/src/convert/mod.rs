//! Files of other forms as documents.

use std::path::Path;

use revela_text::{Document, NoDocument, document_of};

use crate::form::Form;

#[cfg(feature = "html")]
mod html;
#[cfg(feature = "mail")]
mod mail;

/// The document that a file holds: `bytes` are all of it, `longest` is what its text may have.
pub(crate) fn document(
    path: &Path,
    id: String,
    bytes: Vec<u8>,
    form: Form,
    longest: u64,
) -> Result<Document, NoDocument> {
    match form {
        Form::Plain(_) | Form::Notebook => document_of(path, id, bytes, form.format(), longest),
        #[cfg(feature = "html")]
        Form::Html => {
            let page = html::as_markdown(&bytes);
            let mut document = of_text(path, id, page.text, form, longest)?;
            if !page.title.is_empty() {
                document.title = page.title;
            }
            Ok(document)
        }
        #[cfg(feature = "mail")]
        Form::Mail => {
            let Some(mail) = mail::read(&bytes) else {
                return Err(NoDocument::bad(path, revela_text::Bad::Malformed, "it is not a mail"));
            };
            let document = of_text(path, id, mail.text, form, longest)?;
            Ok(Document { title: mail.subject, ..document })
        }
    }
}

#[cfg(any(feature = "html", feature = "mail"))]
fn of_text(path: &Path, id: String, text: String, form: Form, longest: u64) -> Result<Document, NoDocument> {
    if text.len() as u64 > longest {
        return Err(NoDocument::too_long(path, longest));
    }
    document_of(path, id, text.into_bytes(), form.format(), longest)
}
