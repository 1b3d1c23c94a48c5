//! Distinguished names: compared by their exact encoding, read only for the common name.

use crate::der::{Der, tag};

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The one common name of an encoded `Name`; `None` where there is none, or more than one.
pub(crate) fn common_name(name: &[u8]) -> Option<&str> {
    let mut found = None;
    let mut sets = Der::new(name).enter(tag::SEQUENCE, "a name").ok()?;
    while !sets.is_empty() {
        let mut attributes = sets.enter(tag::SET, "a relative name").ok()?;
        while !attributes.is_empty() {
            let mut attribute = attributes.enter(tag::SEQUENCE, "an attribute").ok()?;
            let oid = attribute.oid("an attribute's type").ok()?;
            let value = attribute.any("an attribute's value").ok()?;
            attribute.end("nothing after the attribute's value").ok()?;
            if oid == COMMON_NAME {
                if found.is_some() || !matches!(value.tag, tag::UTF8_STRING | tag::PRINTABLE_STRING)
                {
                    return None;
                }
                found = Some(core::str::from_utf8(value.value).ok()?);
            }
        }
    }
    found
}
