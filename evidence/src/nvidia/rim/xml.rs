//! The XML of manifests, and no more: elements, attributes, text and the predefined entities. What
//! no manifest has (document types, comments, processing instructions, CDATA, character references)
//! is refused, so nothing can be hidden in it.
//!
//! Reading keeps what canonicalisation needs; [`Element::canonical`] writes it back.
//! Source: W3C XML 1.0 (5th ed.), Namespaces in XML 1.0, Canonical XML 1.1.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::format;
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;

use crate::rejection::Rejection;

/// Bytes of the largest manifest that is looked at. Real ones have 20 to 30 KiB.
pub const MAX_MANIFEST_LEN: usize = 512 * 1024;
/// Nested elements.
const MAX_DEPTH: usize = 16;
/// Attributes and namespaces of one element.
const MAX_ATTRIBUTES: usize = 64;
/// Namespaces in scope at any place. Real manifests have up to five.
const MAX_NAMESPACES: usize = 32;

/// Namespaces in scope: prefix (empty for the default) to URI. Shared, not copied: a short element
/// must not cost as much as the longest URI around it.
pub(super) type Scope = BTreeMap<Rc<str>, Rc<str>>;

/// An attribute other than a namespace declaration.
#[derive(Debug)]
pub(super) struct Attribute {
    name: String,
    namespace: Rc<str>,
    local: String,
    value: String,
}

/// An element, with what it declares.
#[derive(Debug)]
pub(super) struct Element {
    name: String,
    namespace: Rc<str>,
    local: String,
    declared: Scope,
    attributes: Vec<Attribute>,
    children: Vec<Node>,
}

#[derive(Debug)]
enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    /// Reads a document of one root element.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Rejection> {
        if bytes.len() > MAX_MANIFEST_LEN {
            return Err(Rejection::malformed(
                "manifest",
                format!("at most {MAX_MANIFEST_LEN} bytes"),
                format!("{} bytes", bytes.len()),
            ));
        }
        let text = core::str::from_utf8(bytes).map_err(|error| {
            Rejection::malformed("manifest", "UTF-8", "other bytes").at(error.valid_up_to())
        })?;
        // Line ends as XML 1.0, 2.11 has them.
        let text = if text.contains('\r') {
            Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
        } else {
            Cow::Borrowed(text)
        };
        let mut reader = Reader {
            rest: &text,
            whole: text.len(),
        };
        if reader.eat("<?xml") {
            let declaration = reader.until("?>", "an XML declaration")?;
            if !declaration.contains("version=\"1.0\"")
                || (declaration.contains("encoding")
                    && !declaration.to_ascii_uppercase().contains("UTF-8"))
            {
                return Err(reader.error("XML 1.0 in UTF-8", declaration));
            }
        }
        reader.space();
        let root = reader.element(&Scope::new(), 0)?;
        reader.space();
        if !reader.rest.is_empty() {
            return Err(reader.error("nothing after the root element", reader.rest));
        }
        Ok(root)
    }

    pub(super) fn is(&self, namespace: &str, local: &str) -> bool {
        &*self.namespace == namespace && self.local == local
    }

    pub(super) fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The only child element of this name.
    pub(super) fn only(&self, namespace: &str, local: &str) -> Result<&Self, Rejection> {
        let mut found = self
            .elements()
            .filter(|element| element.is(namespace, local));
        match (found.next(), found.next()) {
            (Some(element), None) => Ok(element),
            (first, _) => Err(Rejection::malformed(
                format!("manifest.{}.{local}", self.local),
                "exactly one element",
                if first.is_none() { "none" } else { "several" },
            )),
        }
    }

    /// The value of an attribute; attributes without a prefix are in no namespace.
    pub(super) fn attribute(&self, namespace: &str, local: &str) -> Option<&str> {
        let found = self
            .attributes
            .iter()
            .find(|a| &*a.namespace == namespace && a.local == local);
        found.map(|attribute| attribute.value.as_str())
    }

    pub(super) fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes
            .iter()
            .map(|attribute| (&*attribute.namespace, attribute.local.as_str()))
    }

    /// The text of an element that has nothing but text.
    pub(super) fn text(&self) -> Result<&str, Rejection> {
        match self.children.as_slice() {
            [] => Ok(""),
            [Node::Text(text)] => Ok(text),
            _ => Err(Rejection::malformed(
                format!("manifest.{}", self.local),
                "text",
                "elements",
            )),
        }
    }

    /// Whether the element has text other than white space between its elements.
    pub(super) fn has_stray_text(&self) -> bool {
        self.children
            .iter()
            .any(|node| matches!(node, Node::Text(text) if !text.trim().is_empty()))
    }

    /// The namespaces this element declares.
    pub(super) const fn declared(&self) -> &Scope {
        &self.declared
    }

    /// Canonical XML 1.1 without comments. `inherited` are the namespaces in scope around the
    /// element, which its canonical form repeats; `without` is left out, as the enveloped-signature
    /// transform asks.
    pub(super) fn canonical(&self, inherited: &Scope, without: Option<&Self>) -> Vec<u8> {
        let mut scope = inherited.clone();
        scope.extend(self.declared.clone());
        let mut out = String::new();
        self.write(&mut out, &Scope::new(), &scope, without);
        out.into_bytes()
    }

    /// `shown` are the namespaces that the output already has in scope.
    fn write(&self, out: &mut String, shown: &Scope, scope: &Scope, without: Option<&Self>) {
        out.push('<');
        out.push_str(&self.name);
        for (prefix, uri) in scope {
            if shown.get(prefix) != Some(uri) {
                let colon = if prefix.is_empty() { "" } else { ":" };
                out.push_str(&format!(" xmlns{colon}{prefix}=\""));
                escape(out, uri, true);
                out.push('"');
            }
        }
        let mut sorted: Vec<&Attribute> = self.attributes.iter().collect();
        sorted.sort_by(|a, b| (&a.namespace, &a.local).cmp(&(&b.namespace, &b.local)));
        for attribute in sorted {
            out.push_str(&format!(" {}=\"", attribute.name));
            escape(out, &attribute.value, true);
            out.push('"');
        }
        out.push('>');
        for node in &self.children {
            match node {
                Node::Text(text) => escape(out, text, false),
                Node::Element(element)
                    if without.is_some_and(|without| core::ptr::eq(without, element)) => {}
                Node::Element(element) => {
                    element.write(out, scope, &within(scope, &element.declared), without);
                }
            }
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
    }
}

/// The namespaces in scope inside an element that declares some.
fn within<'a>(scope: &'a Scope, declared: &Scope) -> Cow<'a, Scope> {
    if declared.is_empty() {
        return Cow::Borrowed(scope);
    }
    let mut inner = scope.clone();
    inner.extend(declared.clone());
    Cow::Owned(inner)
}

/// Canonical XML 1.1, 2.3: what is replaced in text and in attribute values.
fn escape(out: &mut String, text: &str, attribute: bool) {
    for c in text.chars() {
        match (c, attribute) {
            ('&', _) => out.push_str("&amp;"),
            ('<', _) => out.push_str("&lt;"),
            ('>', false) => out.push_str("&gt;"),
            ('"', true) => out.push_str("&quot;"),
            (other, _) => out.push(other),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    whole: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, expected: &'static str, found: &str) -> Rejection {
        let found: String = found.chars().take(24).collect();
        Rejection::malformed("manifest", expected, format!("{found:?}"))
            .at(self.whole.saturating_sub(self.rest.len()))
    }

    fn eat(&mut self, token: &str) -> bool {
        self.rest
            .strip_prefix(token)
            .map(|rest| self.rest = rest)
            .is_some()
    }

    fn expect(&mut self, token: &'static str) -> Result<(), Rejection> {
        if self.eat(token) {
            Ok(())
        } else {
            Err(self.error(token, self.rest))
        }
    }

    /// Skips white space, and says whether there was any.
    fn space(&mut self) -> bool {
        let rest = self.rest.trim_start_matches([' ', '\t', '\n']);
        let skipped = rest.len() != self.rest.len();
        self.rest = rest;
        skipped
    }

    fn until(&mut self, end: &str, what: &'static str) -> Result<&'a str, Rejection> {
        let (before, after) = self
            .rest
            .split_once(end)
            .ok_or_else(|| self.error(what, self.rest))?;
        self.rest = after;
        Ok(before)
    }

    fn name(&mut self) -> Result<&'a str, Rejection> {
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        let starts = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let parts = name.split(':').count();
        if parts > 2 || !name.split(':').all(starts) {
            return Err(self.error("a name", self.rest));
        }
        self.rest = rest;
        Ok(name)
    }

    fn value(&mut self) -> Result<String, Rejection> {
        self.space();
        self.expect("=")?;
        self.space();
        let quote = if self.eat("\"") {
            "\""
        } else {
            self.expect("'")?;
            "'"
        };
        let raw = self.until(quote, "the end of an attribute's value")?;
        if raw.contains(['<', '\n', '\t']) {
            return Err(self.error("an attribute's value on one line", raw));
        }
        self.unescape(raw)
    }

    fn unescape(&self, raw: &str) -> Result<String, Rejection> {
        if raw
            .chars()
            .any(|c| (c < ' ' && c != '\n' && c != '\t') || matches!(c, '\u{fffe}' | '\u{ffff}'))
        {
            return Err(self.error("characters of XML", raw));
        }
        let mut pieces = raw.split('&');
        let mut out = String::from(pieces.next().unwrap_or_default());
        for piece in pieces {
            let (entity, rest) = piece
                .split_once(';')
                .ok_or_else(|| self.error("an entity", piece))?;
            out.push(match entity {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                other => return Err(self.error("a predefined entity", other)),
            });
            out.push_str(rest);
        }
        Ok(out)
    }

    fn element(&mut self, scope: &Scope, depth: usize) -> Result<Element, Rejection> {
        if depth >= MAX_DEPTH {
            return Err(self.error("at most 16 nested elements", self.rest));
        }
        self.expect("<")?;
        let name = self.name()?;
        let mut declared = Scope::new();
        let mut raw: Vec<(&str, String)> = Vec::new();
        let empty = loop {
            let spaced = self.space();
            if self.eat("/>") {
                break true;
            }
            if self.eat(">") {
                break false;
            }
            if !spaced || raw.len().saturating_add(declared.len()) >= MAX_ATTRIBUTES {
                return Err(self.error("white space and at most 64 attributes", self.rest));
            }
            let attribute = self.name()?;
            let value = self.value()?;
            let prefix = match attribute.split_once(':') {
                None if attribute == "xmlns" => Some(""),
                Some(("xmlns", prefix)) => Some(prefix),
                _ => None,
            };
            match prefix {
                Some(prefix) => {
                    let reserved = value.is_empty() || prefix == "xml" || prefix == "xmlns";
                    if reserved || declared.insert(prefix.into(), value.into()).is_some() {
                        return Err(self.error("a namespace, declared once", attribute));
                    }
                }
                None => raw.push((attribute, value)),
            }
        };
        let inner = within(scope, &declared);
        if inner.len() > MAX_NAMESPACES {
            return Err(self.error("at most 32 namespaces in scope", name));
        }
        let (namespace, local) = self.resolve(name, &inner, true)?;
        let mut attributes: Vec<Attribute> = Vec::with_capacity(raw.len());
        for (name, value) in raw {
            let (namespace, local) = self.resolve(name, &inner, false)?;
            if attributes
                .iter()
                .any(|other| other.namespace == namespace && other.local == local)
            {
                return Err(self.error("each attribute once", name));
            }
            attributes.push(Attribute {
                name: name.into(),
                namespace,
                local,
                value,
            });
        }
        let children = if empty {
            Vec::new()
        } else {
            self.children(name, &inner, depth)?
        };
        Ok(Element {
            name: name.into(),
            namespace,
            local,
            declared,
            attributes,
            children,
        })
    }

    fn children(
        &mut self,
        name: &str,
        scope: &Scope,
        depth: usize,
    ) -> Result<Vec<Node>, Rejection> {
        let mut children = Vec::new();
        loop {
            let end = self
                .rest
                .find('<')
                .ok_or_else(|| self.error("an end tag", self.rest))?;
            let (raw, rest) = self.rest.split_at_checked(end).unwrap_or_default();
            if raw.contains("]]>") {
                return Err(self.error("text without ]]>", raw));
            }
            if !raw.is_empty() {
                children.push(Node::Text(self.unescape(raw)?));
            }
            self.rest = rest;
            if self.eat("</") {
                if self.name()? != name {
                    return Err(self.error("the end tag of the element", self.rest));
                }
                self.space();
                self.expect(">")?;
                return Ok(children);
            }
            children.push(Node::Element(self.element(scope, depth.saturating_add(1))?));
        }
    }

    fn resolve(
        &self,
        name: &str,
        scope: &Scope,
        is_element: bool,
    ) -> Result<(Rc<str>, String), Rejection> {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        if prefix.is_empty() && !is_element {
            return Ok(("".into(), local.into()));
        }
        match scope.get(prefix) {
            Some(uri) => Ok((Rc::clone(uri), local.into())),
            None if prefix.is_empty() => Ok(("".into(), local.into())),
            None => Err(self.error("a declared namespace prefix", name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        String::from_utf8(
            Element::parse(text.as_bytes())
                .unwrap()
                .canonical(&Scope::new(), None),
        )
        .unwrap()
    }

    #[test]
    fn canonical_form_is_that_of_the_standard() {
        for (text, expected) in [
            ("<?xml version=\"1.0\"?>\n<a/>\n", "<a></a>"),
            ("<a  y='1'   x=\"2\" ></a >", "<a x=\"2\" y=\"1\"></a>"),
            (
                "<a xmlns:z='u:1' xmlns:b='u:2' b:x='1' z:x='2' x='3'/>",
                "<a xmlns:b=\"u:2\" xmlns:z=\"u:1\" x=\"3\" z:x=\"2\" b:x=\"1\"></a>",
            ),
            (
                "<a xmlns='u'><b xmlns='u' xmlns:p='v'><c xmlns:p='v'/></b></a>",
                "<a xmlns=\"u\"><b xmlns:p=\"v\"><c></c></b></a>",
            ),
            (
                "<a>\r\n &lt;&gt;&amp;&quot;&apos; </a>",
                "<a>\n &lt;&gt;&amp;\"' </a>",
            ),
            ("<a x='&lt;&gt;&quot;'/>", "<a x=\"&lt;>&quot;\"></a>"),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    #[test]
    fn what_no_manifest_has_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(20), "</a>".repeat(20));
        let declared: String = (0..40).map(|n| format!(" xmlns:n{n}='u'")).collect();
        let crowded = format!("<a{declared}/>");
        for text in [
            "",
            "a",
            "<a>",
            "<a></b>",
            "<a/><a/>",
            "<a/>x",
            "<a x/>",
            "<a x=1/>",
            "<a x='1'y='2'/>",
            "<a x='1' x='2'/>",
            "<a><!-- --></a>",
            "<a><?p?></a>",
            "<a><![CDATA[]]></a>",
            "<!DOCTYPE a><a/>",
            "<a>&#65;</a>",
            "<a>&e;</a>",
            "<a>&amp</a>",
            "<p:a/>",
            "<a p:x='1'/>",
            "<a xmlns:p=''/>",
            "<a xmlns=''/>",
            "<a xml:lang='en'/>",
            "<a xmlns:xml='u'/>",
            "<a x='<'/>",
            "<a x='\n'/>",
            "<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>",
            "<a:b:c/>",
            "<a>]]></a>",
            "<?xml version='1.1'?><a/>",
            "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a/>",
            "<a>\u{1}</a>",
            deep.as_str(),
            crowded.as_str(),
        ] {
            assert!(Element::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Element::parse(&[b'<', 0xff]).is_err());
    }
}
