//! Parquet files row by row: the only place where the `parquet` crate enters.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use revela_base::file::FileError;
use serde_json::Value;

/// A reader that gives each row as a JSON object.
pub(super) struct ParquetRows {
    path: PathBuf,
    rows: RowIter<'static>,
    number: u64,
}

impl ParquetRows {
    /// Opens a file; only those of the columns that it has are read.
    pub(super) fn open(path: &Path, columns: &[&str]) -> Result<Self, FileError> {
        let file = File::open(path).map_err(FileError::io("open", path))?;
        let damaged = |error: ParquetError| FileError::corrupt(path, error.to_string());
        let reader = SerializedFileReader::new(file).map_err(damaged)?;
        let columns_of_file = reader.metadata().row_groups().iter().flat_map(|group| group.columns());
        if let Some(codec) = columns_of_file.map(|column| column.compression()).find_map(unread) {
            return Err(FileError::Format {
                path: path.to_owned(),
                expected: "Parquet".to_owned(),
                detail: format!(
                    "its columns are packed with {codec}, which is not read; write it with zstd, LZ4, gzip or snappy"
                ),
            });
        }
        let schema = reader.metadata().file_metadata().schema();
        let wanted = schema.get_fields().iter().filter(|field| columns.contains(&field.name()));
        let fields: Vec<Arc<Type>> = wanted.cloned().collect();
        if fields.is_empty() {
            let has: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
            return Err(FileError::Format {
                path: path.to_owned(),
                expected: "Parquet".to_owned(),
                detail: format!("it has none of the columns {columns:?}, only {has:?}"),
            });
        }
        let projection =
            Type::group_type_builder(schema.name()).with_fields(fields).build().map_err(damaged)?;
        let rows = RowIter::from_file_into(Box::new(reader)).project(Some(projection)).map_err(damaged)?;
        Ok(Self { path: path.to_owned(), rows, number: 0 })
    }

    /// The next row.
    pub(super) fn next_row(&mut self) -> Result<Option<Value>, FileError> {
        self.number += 1;
        match self.rows.next() {
            None => Ok(None),
            Some(Ok(row)) => Ok(Some(object(&row).map_err(|detail| self.error(detail))?)),
            Some(Err(error)) => Err(FileError::corrupt(&self.path, format!("row {}: {error}", self.number))),
        }
    }

    /// An error about the row read last.
    pub(super) fn error(&self, detail: impl ToString) -> FileError {
        let detail = format!("(row) {}", detail.to_string());
        FileError::Line { path: self.path.clone(), line: self.number, detail }
    }
}

/// The name of a way of packing columns that is not read.
fn unread(codec: Compression) -> Option<&'static str> {
    match codec {
        Compression::BROTLI(_) => Some("Brotli"),
        Compression::LZO => Some("LZO"),
        _ => None,
    }
}

fn object(row: &Row) -> Result<Value, String> {
    let field = |(name, field): (&String, &Field)| Ok((name.clone(), value(name, field)?));
    Ok(Value::Object(row.get_column_iter().map(field).collect::<Result<_, String>>()?))
}

/// Texts, numbers and lists of them; test collections hold nothing else in the columns that are read.
fn value(name: &str, field: &Field) -> Result<Value, String> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Str(text) => text.as_str().into(),
        Field::Bytes(bytes) => String::from_utf8(bytes.data().to_vec())
            .map_err(|_| format!("the bytes in column {name} are not UTF-8"))?
            .into(),
        Field::Byte(number) => (*number).into(),
        Field::Short(number) => (*number).into(),
        Field::Int(number) => (*number).into(),
        Field::Long(number) => (*number).into(),
        Field::UByte(number) => (*number).into(),
        Field::UShort(number) => (*number).into(),
        Field::UInt(number) => (*number).into(),
        Field::ULong(number) => (*number).into(),
        Field::Float(number) => f64::from(*number).into(),
        Field::Double(number) => (*number).into(),
        Field::ListInternal(list) => {
            let elements = list.elements().iter().map(|element| value(name, element));
            Value::Array(elements.collect::<Result<_, _>>()?)
        }
        other => return Err(format!("column {name} holds {other}, which is neither text nor a number")),
    })
}

#[cfg(test)]
mod tests {
    use parquet::basic::{BrotliLevel, GzipLevel, ZstdLevel};
    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    fn write(path: &Path, codec: Compression) {
        let schema = "message m { required binary _id (STRING); required binary text (STRING); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
        let mut file = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
        let mut group = file.next_row_group().unwrap();
        for text in ["a", "words and words and words"] {
            let mut column = group.next_column().unwrap().unwrap();
            let values = [ByteArray::from(text), ByteArray::from("b")];
            column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        file.close().unwrap();
    }

    #[test]
    fn columns_are_read_however_they_are_packed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        let (gzip, zstd) = (GzipLevel::default(), ZstdLevel::default());
        for codec in [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(gzip),
            Compression::ZSTD(zstd),
            Compression::LZ4,
            Compression::LZ4_RAW,
        ] {
            write(&path, codec);
            let mut rows = ParquetRows::open(&path, &["_id", "text"]).unwrap();
            assert_eq!(rows.next_row().unwrap().unwrap()["text"], "words and words and words", "{codec:?}");
            assert_eq!(rows.next_row().unwrap().unwrap()["_id"], "b");
            assert!(rows.next_row().unwrap().is_none());
        }
        assert_eq!(unread(Compression::BROTLI(BrotliLevel::default())), Some("Brotli"));
    }
}
