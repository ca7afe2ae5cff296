//! Finds the wanted values in a JSON object.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;

use crate::model::dialect::columns::{ColumnName, LogColumns, NameMatch, compare_names};

/// The wanted keys, in the order of the fields of a play.
#[derive(Debug)]
pub(super) struct WantedKeys<'a> {
    keys: [WantedKey<'a>; 4],
}

/// The key of a field.
#[derive(Debug, Default)]
struct WantedKey<'a> {
    /// The whole name. `None` if no key can match, because the column is given by its place.
    name: Option<&'a str>,
    /// The keys of nested objects, from the outside to the inside. Empty if the name has no dots.
    path: Vec<&'a str>,
}

impl<'a> WantedKeys<'a> {
    pub(super) fn of(columns: &'a LogColumns) -> Self {
        let key = |column: &'a ColumnName| match column {
            ColumnName::Index(_) => WantedKey::default(),
            ColumnName::Name(name) if name.contains('.') => {
                WantedKey { name: Some(name), path: name.split('.').collect() }
            }
            ColumnName::Name(name) => WantedKey { name: Some(name), path: Vec::new() },
        };
        Self { keys: columns.in_order().map(key) }
    }

    /// How well a key of the outer object matches each field.
    fn roles(&self, found: &str) -> Roles {
        let compare = |wanted: Option<&str>| {
            wanted.and_then(|wanted| compare_names(found.as_bytes(), wanted.as_bytes()))
        };
        let roles = |key: &WantedKey<'_>| Role {
            whole: compare(key.name),
            outer: compare(key.path.first().copied()),
        };
        let roles = [0, 1, 2, 3].map(|field| roles(&self.keys[field]));
        let is_wanted = roles.iter().any(|role| role.whole.is_some() || role.outer.is_some());
        Roles { roles, is_wanted }
    }
}

/// How well a key matches each field.
#[derive(Clone, Copy, Debug)]
struct Roles {
    roles: [Role; 4],
    is_wanted: bool,
}

/// How well a key matches a field.
#[derive(Clone, Copy, Debug)]
struct Role {
    /// As the whole name.
    whole: Option<NameMatch>,
    /// As the outermost key of nested objects.
    outer: Option<NameMatch>,
}

/// The keys of the last object and their roles. The objects of a log usually have the same keys in the same
/// order.
#[derive(Debug, Default)]
pub(super) struct KeyMemory<'t> {
    keys: Vec<(&'t str, Roles)>,
}

/// The maximum number of keys that are remembered.
const REMEMBERED: usize = 64;

impl<'t> KeyMemory<'t> {
    fn roles(&mut self, wanted: &WantedKeys<'_>, key: &'t str, place: usize) -> Roles {
        match self.keys.get_mut(place) {
            Some((known, roles)) if *known == key => *roles,
            Some(entry) => {
                *entry = (key, wanted.roles(key));
                entry.1
            }
            None => {
                let roles = wanted.roles(key);
                if place < REMEMBERED && place == self.keys.len() {
                    self.keys.push((key, roles));
                }
                roles
            }
        }
    }
}

/// The best value for a field so far.
#[derive(Clone, Copy, Debug, Default)]
struct Best<'t> {
    quality: Option<NameMatch>,
    value: &'t str,
}

impl<'t> Best<'t> {
    /// Takes a value if its key is at least as good as that of the last one.
    fn offer(&mut self, quality: Option<NameMatch>, value: &'t str) {
        if quality.is_some() && quality >= self.quality {
            *self = Self { quality, value };
        }
    }
}

/// The text of the value of each field in a line with one object. `None` for a missing value. The outer `None`
/// means that the line is not a JSON object.
pub(super) fn find_values<'t>(
    line: &'t str,
    wanted: &WantedKeys<'_>,
    memory: &mut KeyMemory<'t>,
) -> Option<[Option<&'t str>; 4]> {
    let mut reader = Deserializer::from_str(line);
    let [whole, outer] = reader.deserialize_map(OuterObject { wanted, memory }).ok()?;
    reader.end().ok()?;
    if !has_valid_escapes(line) {
        return None;
    }
    Some([0, 1, 2, 3].map(|field| match (whole[field].quality, outer[field].quality) {
        (Some(_), _) => Some(whole[field].value),
        (None, Some(_)) => find_nested(outer[field].value, &wanted.keys[field].path[1..]),
        (None, None) => None,
    }))
}

struct OuterObject<'m, 'w, 't> {
    wanted: &'w WantedKeys<'w>,
    memory: &'m mut KeyMemory<'t>,
}

impl<'t> Visitor<'t> for OuterObject<'_, '_, 't> {
    /// The best values for whole names, and for the outermost keys of nested objects.
    type Value = [[Best<'t>; 4]; 2];

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'t>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let Self { wanted, memory } = self;
        let mut best = <[[Best<'t>; 4]; 2]>::default();
        let mut place = 0;
        while let Some(roles) = map.next_key_seed(KeyRoles { wanted, memory, place })? {
            place += 1;
            if !roles.is_wanted {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value::<&RawValue>()?.get();
            for (field, role) in roles.roles.into_iter().enumerate() {
                best[0][field].offer(role.whole, value);
                best[1][field].offer(role.outer, value);
            }
        }
        Ok(best)
    }
}

struct KeyRoles<'m, 'w, 't> {
    wanted: &'w WantedKeys<'w>,
    memory: &'m mut KeyMemory<'t>,
    place: usize,
}

impl<'t> DeserializeSeed<'t> for KeyRoles<'_, '_, 't> {
    type Value = Roles;

    fn deserialize<D: serde::Deserializer<'t>>(self, deserializer: D) -> Result<Roles, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'t> for KeyRoles<'_, '_, 't> {
    type Value = Roles;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'t str) -> Result<Roles, E> {
        Ok(self.memory.roles(self.wanted, key, self.place))
    }

    /// A key with escapes.
    fn visit_str<E>(self, key: &str) -> Result<Roles, E> {
        Ok(self.wanted.roles(key))
    }
}

/// Follows the keys of nested objects. `None` if an object is missing.
fn find_nested<'t>(object: &'t str, path: &[&str]) -> Option<&'t str> {
    let mut value = object;
    for key in path {
        value = Deserializer::from_str(value).deserialize_map(InnerObject { key }).ok()??;
    }
    Some(value)
}

struct InnerObject<'k> {
    key: &'k str,
}

impl<'t> Visitor<'t> for InnerObject<'_> {
    /// The value of the key.
    type Value = Option<&'t str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'t>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut best = Best::default();
        while let Some(quality) = map.next_key_seed(KeyMatch(self.key))? {
            match quality {
                None => drop(map.next_value::<IgnoredAny>()?),
                quality => best.offer(quality, map.next_value::<&RawValue>()?.get()),
            }
        }
        Ok(best.quality.map(|_| best.value))
    }
}

struct KeyMatch<'k>(&'k str);

impl<'t> DeserializeSeed<'t> for KeyMatch<'_> {
    type Value = Option<NameMatch>;

    fn deserialize<D: serde::Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyMatch<'_> {
    type Value = Option<NameMatch>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(compare_names(key.as_bytes(), self.0.as_bytes()))
    }
}

/// Whether every escape in valid JSON is a character. `serde_json` does not check this in values that it
/// skips: half of a surrogate pair is valid by its grammar.
fn has_valid_escapes(json: &str) -> bool {
    let mut rest = json.as_bytes();
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let escape = rest[at + 1..].split_first();
        let Some((&kind, after)) = escape else { return false };
        rest = after;
        if kind == b'u' {
            let code = code_unit(rest);
            rest = rest.get(4..).unwrap_or_default();
            match code {
                Some(0xd800..=0xdbff) => {
                    let low = rest.strip_prefix(b"\\u").and_then(code_unit);
                    if !matches!(low, Some(0xdc00..=0xdfff)) {
                        return false;
                    }
                    rest = &rest[6..];
                }
                Some(0xdc00..=0xdfff) | None => return false,
                Some(_) => {}
            }
        }
    }
    true
}

/// The number that four hexadecimal digits stand for.
fn code_unit(digits: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(digits.get(..4)?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}
