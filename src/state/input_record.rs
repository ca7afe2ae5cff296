//! The record of an input in the state, and its JSON format.
//!
//! The types in the rooms `model` and `ingest` do not depend on this format. The `…Format` types repeat the
//! fields of those types for serde, and the compiler checks that no field is missing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ingest::source::fingerprint::Fingerprint;
use crate::model::rejects::ReasonCounts;
use crate::model::{Layout, Position, Reason};
use crate::state::input_record::format::{FingerprintFormat, PositionFormat};

/// The saved progress of an input.
#[derive(Debug, Serialize, Deserialize)]
pub struct InputRecord {
    /// The id of the input.
    pub id: u32,
    /// The name of the input in `_rejects` and the manifest.
    pub label: String,
    /// The fingerprint. It identifies the file after a restart.
    #[serde(with = "FingerprintFormat")]
    pub fingerprint: Fingerprint,
    /// The position at which reading continues.
    #[serde(with = "PositionFormat")]
    pub position: Position,
    /// Known size of the input in bytes, after decompression.
    pub size: u64,
    /// Number of rows that were read: plays and rejects.
    pub rows: u64,
    /// Number of plays that were unmatched when they were read.
    pub unmatched: u64,
    /// Rejected rows by reason. In JSON, the keys are the codes of the reasons.
    #[serde(with = "format::reasons")]
    pub rejected: ReasonCounts,
    /// Whether the rest of the input is ignored.
    pub given_up: bool,
    /// The layout of the input, if the position no longer has it because the input was read to its end. A
    /// later file with the same name may lack a header.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "format::optional_layout")]
    pub layout: Option<Arc<Layout>>,
    /// Whether the file is read again as another input. The rejects of this input stay in `_rejects`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retried: bool,
    /// Whether rows were read with settings of the dialect that have changed since then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub earlier_settings: bool,
    /// Why the input was rejected as a whole, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

/// Why an input was rejected as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The reason. In JSON, it is the code of the reason.
    #[serde(with = "format::reason")]
    pub reason: Reason,
    /// What is wrong, and what may help.
    pub detail: String,
}

mod format {
    use std::path::PathBuf;
    use std::sync::Arc;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::ingest::source::fingerprint::{FileId, FileStat, Fingerprint, Head};
    use crate::model::{Layout, Position, ReaderState};
    use crate::state::layout_record;

    /// A fingerprint in the state.
    #[derive(Serialize, Deserialize)]
    pub(super) struct FingerprintFormat {
        /// The name relative to the folder of the logs.
        #[serde(default, with = "path", skip_serializing_if = "Option::is_none")]
        name: Option<PathBuf>,
        /// Instead of `name`, version 0.2.0 saved the whole path. Its logs were never in subfolders.
        #[serde(default, with = "path", skip_serializing_if = "Option::is_none")]
        path: Option<PathBuf>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        retired: bool,
        id: FileId,
        head: Head,
        whole: u128,
        stat: FileStat,
    }

    impl FingerprintFormat {
        pub(super) fn serialize<S: Serializer>(
            fingerprint: &Fingerprint,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            let Fingerprint { name, retired, id, head, whole, stat } = fingerprint.clone();
            Serialize::serialize(
                &Self { name: Some(name), path: None, retired, id, head, whole, stat },
                serializer,
            )
        }

        pub(super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Fingerprint, D::Error> {
            let Self { name, path, retired, id, head, whole, stat } = Deserialize::deserialize(deserializer)?;
            let name = name.or_else(|| Some(path?.file_name()?.into()));
            let name = name.ok_or_else(|| D::Error::custom("an input has no name"))?;
            Ok(Fingerprint { name, retired, id, head, whole, stat })
        }
    }

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "Position")]
    pub(super) struct PositionFormat {
        offset: u64,
        lines: u64,
        #[serde(with = "ReaderStateFormat")]
        state: ReaderState,
        tail: u128,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blocks: Option<u128>,
    }

    /// Saves the layout of an input that was read to its end.
    pub(super) mod optional_layout {
        use std::sync::Arc;

        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        use crate::model::Layout;
        use crate::state::layout_record;

        #[derive(Serialize, Deserialize)]
        struct LayoutFormat(#[serde(with = "layout_record")] Arc<Layout>);

        #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
        pub(in super::super) fn serialize<S: Serializer>(
            layout: &Option<Arc<Layout>>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            layout.clone().map(LayoutFormat).serialize(serializer)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Arc<Layout>>, D::Error> {
            Ok(Option::<LayoutFormat>::deserialize(deserializer)?.map(|LayoutFormat(layout)| layout))
        }
    }

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "ReaderState", rename_all = "snake_case")]
    enum ReaderStateFormat {
        Start,
        Lines(#[serde(with = "layout_record")] Arc<Layout>),
        AfterEnd(#[serde(with = "layout_record")] Arc<Layout>),
        Finished,
        Refused,
        Faulted,
    }

    /// Saves a path as text. Bytes that are not UTF-8 are escaped.
    mod path {
        use std::path::PathBuf;

        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        use crate::text::{parse_path, path_text};

        #[expect(clippy::ref_option, reason = "serde passes fields by reference")]
        pub(super) fn serialize<S: Serializer>(
            path: &Option<PathBuf>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            path.as_deref().map(path_text).serialize(serializer)
        }

        pub(super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<PathBuf>, D::Error> {
            Ok(Some(parse_path(&String::deserialize(deserializer)?)))
        }
    }

    /// Saves a reason as its code.
    pub(super) mod reason {
        use serde::de::Error as _;
        use serde::{Deserialize, Deserializer, Serializer};

        use crate::model::Reason;

        #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
        pub(in super::super) fn serialize<S: Serializer>(
            reason: &Reason,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(reason.code())
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Reason, D::Error> {
            let code = String::deserialize(deserializer)?;
            Reason::of_code(&code).ok_or_else(|| D::Error::custom(format!("unknown reason `{code}`")))
        }
    }

    /// Saves counts. The keys are the codes of the reasons.
    pub(super) mod reasons {
        use std::collections::BTreeMap;

        use serde::de::Error as _;
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        use crate::model::rejects::{ReasonCounts, by_code, from_codes};

        pub(in super::super) fn serialize<S: Serializer>(
            counts: &ReasonCounts,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            by_code(counts).serialize(serializer)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<ReasonCounts, D::Error> {
            from_codes(BTreeMap::deserialize(deserializer)?).map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;
    use std::sync::Arc;

    use super::*;
    use crate::ingest::source::fingerprint::{FileId, FileStat, Head};
    use crate::model::dialect::encoding::TextEncoding;
    use crate::model::layout::TypedCells;
    use crate::model::{FurtherFields, Header, Layout, ReaderState, Reason, RowLayout};

    #[test]
    fn a_record_survives_json() {
        let file = tempfile::tempfile().unwrap();
        let metadata = file.metadata().unwrap();
        let line = "user_id;song_id;timestamp;duration_sec;\u{e9}";
        let header = Header {
            fields: 5,
            min_fields: 4,
            further: FurtherFields::Ignored,
            user: 3,
            song: 2,
            timestamp: 1,
            duration: 1,
            delimiter: ";".parse().unwrap(),
            quoting: false,
            typed: TypedCells { timestamp: true, duration: false },
            line: line.as_bytes().to_vec(),
        };
        let csv = Layout { encoding: TextEncoding::UTF_8, rows: RowLayout::Csv(header) };
        let json = Layout { encoding: "koi8-r".parse().unwrap(), rows: RowLayout::JsonLines };
        for state in [
            ReaderState::Start,
            ReaderState::Lines(Arc::new(csv.clone())),
            ReaderState::AfterEnd(Arc::new(csv.clone())),
            ReaderState::Lines(Arc::new(json)),
            ReaderState::Finished,
            ReaderState::Refused,
            ReaderState::Faulted,
        ] {
            let record = InputRecord {
                id: 7,
                label: "a.csv".to_owned(),
                fingerprint: Fingerprint {
                    name: std::ffi::OsString::from_vec(b"2025/\xff.csv".to_vec()).into(),
                    retired: state == ReaderState::Finished,
                    id: FileId::of(&metadata),
                    head: Head::default(),
                    whole: u128::MAX,
                    stat: FileStat::of(&metadata),
                },
                position: Position {
                    offset: u64::MAX,
                    lines: 3,
                    state,
                    tail: u128::MAX - 1,
                    blocks: Some(u128::MAX),
                },
                size: 9,
                rows: 8,
                unmatched: 2,
                rejected: ReasonCounts::from([(Reason::BadNumber, 4)]),
                given_up: true,
                refusal: Some(Refusal { reason: Reason::NotCsv, detail: "a PNG image".to_owned() }),
                layout: Some(Arc::new(csv.clone())),
                retried: true,
                earlier_settings: true,
            };
            let text = serde_json::to_vec(&record).unwrap();
            let read: InputRecord = serde_json::from_slice(&text).unwrap();
            assert_eq!((&read.fingerprint, &read.position), (&record.fingerprint, &record.position));
            assert_eq!(read.refusal, record.refusal);
            assert_eq!((read.id, &read.label, &read.rejected), (record.id, &record.label, &record.rejected));
            assert_eq!(serde_json::to_vec(&read).unwrap(), text);
        }
    }

    #[test]
    fn a_fingerprint_of_version_0_2_0_has_the_name_of_its_file() {
        let id = r#"{"number":{"device":1,"inode":2},"born":[3,4]}"#;
        let stat = r#"{"size":5,"modified":[6,7],"changed":[8,9]}"#;
        let read = |path: &str| {
            let rest = format!(r#""id":{id},"head":{{"len":0,"hash":0}},"whole":0,"stat":{stat}"#);
            let text = format!("{{{path}{rest}}}");
            FingerprintFormat::deserialize(&mut serde_json::Deserializer::from_str(&text))
        };
        for path in ["data/incoming/a.csv", "./in/a.csv", "/srv/in/a.csv", "a.csv"] {
            let fingerprint = read(&format!(r#""path":"{path}","#)).unwrap();
            assert_eq!((fingerprint.name.to_str(), fingerprint.retired), (Some("a.csv"), false), "{path}");
        }
        let fingerprint = read(r#""name":"2025/a.csv","retired":true,"#).unwrap();
        assert_eq!((fingerprint.name.to_str(), fingerprint.retired), (Some("2025/a.csv"), true));
        assert!(read("").is_err());
    }

    #[test]
    fn a_record_with_an_unknown_reason_or_a_broken_header_is_refused() {
        let counts = |text: &str| format::reasons::deserialize(&mut serde_json::Deserializer::from_str(text));
        assert!(counts("{\"bad_number\":1}").is_ok());
        assert!(counts("{\"no_such_reason\":1}").is_err());
        let position = |line: &str| {
            let header = format!("{{\"line\":\"{line}\",\"delimiter\":\",\"}}");
            let text = format!("{{\"offset\":1,\"lines\":1,\"state\":{{\"lines\":{header}}},\"tail\":0}}");
            PositionFormat::deserialize(&mut serde_json::Deserializer::from_str(&text))
        };
        assert!(position("user_id,song_id,timestamp,duration_sec").is_ok());
        assert!(position("user_id").is_err());
    }
}
