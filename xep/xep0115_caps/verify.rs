//! The verification string (XEP-0115 §5): what an answer to disco#info says, whether it is well-formed, and what its hash
//! is.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use kim_core::ns;
use kim_core::wire::El;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::api::Features;
use crate::xep0030_disco::api::INFO;

/// The hash functions known here; SHA-1 is mandatory (§9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Algorithm {
    Sha1,
    Sha256,
}

impl Algorithm {
    /// By its name in the IANA registry.
    pub fn named(name: &str) -> Option<Algorithm> {
        match name {
            "sha-1" => Some(Algorithm::Sha1),
            "sha-256" => Some(Algorithm::Sha256),
            _ => None,
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Algorithm::Sha1 => BASE64.encode(&Sha1::digest(text)),
            Algorithm::Sha256 => BASE64.encode(&Sha256::digest(text)),
        }
    }
}

/// The only form that a client's answer may hold to be shared, see [`Said::is_unmistakable`].
const SOFTWARE_INFO: &str = "urn:xmpp:dataforms:softwareinfo";

/// A form's FORM_TYPE, and its fields with their values.
type Form = (String, Vec<(String, Vec<String>)>);

/// What a well-formed answer says; everything sorted.
pub(super) struct Said {
    /// category, type, language, name
    identities: BTreeSet<[String; 4]>,
    features: BTreeSet<String>,
    forms: Vec<Form>,
}

impl Said {
    /// Reads a `<query/>`. Nothing comes of one that is ill-formed by §5.4, steps 3.3 to 3.5, or by XEP-0030 §3.1.
    pub fn read(query: El<'_>) -> Option<Said> {
        let mut said = Said {
            identities: BTreeSet::new(),
            features: BTreeSet::new(),
            forms: Vec::new(),
        };
        for child in query.children() {
            let is_new = match (child.name(), child.ns()) {
                ("identity", INFO) => said.identities.insert(identity(child)?),
                ("feature", INFO) => said.features.insert(child.attr("var")?.into_owned()),
                ("x", ns::DATA) => said.add_form(child)?,
                _ => true,
            };
            if !is_new {
                return None;
            }
        }
        said.forms.sort();
        (!said.identities.is_empty()).then_some(said)
    }

    /// A form without a hidden FORM_TYPE is ignored (step 3.6). Tells whether there was none of its type yet.
    fn add_form(&mut self, form: El<'_>) -> Option<bool> {
        let mut kind: Option<String> = None;
        let mut fields = Vec::new();
        for field in form.children().filter(|field| field.is("field", ns::DATA)) {
            let Some(var) = field.attr("var") else { continue };
            let values = field.children().filter(|value| value.is("value", ns::DATA));
            let mut values: Vec<String> = values.map(|value| value.text().into_owned()).collect();
            values.sort();
            if var == "FORM_TYPE" {
                values.dedup();
                if kind.is_some() || values.len() > 1 {
                    return None;
                }
                kind = values
                    .pop()
                    .filter(|_| field.attr("type").is_some_and(|kind| kind == "hidden"));
            } else {
                fields.push((var.into_owned(), values));
            }
        }
        let Some(kind) = kind else { return Some(true) };
        fields.sort();
        let is_new = self.forms.iter().all(|(other, _)| *other != kind);
        self.forms.push((kind, fields));
        Some(is_new)
    }

    /// The string S of §5.1, hashed.
    pub fn hash(&self, algorithm: Algorithm) -> String {
        let mut s = String::new();
        let mut put = |part: &str| {
            s.push_str(part);
            s.push('<');
        };
        for identity in &self.identities {
            put(&identity.join("/"));
        }
        for feature in &self.features {
            put(feature);
        }
        for (kind, fields) in &self.forms {
            put(kind);
            for (var, values) in fields {
                put(var);
                for value in values {
                    put(value);
                }
            }
        }
        algorithm.hash(&s)
    }

    /// Whether the string S can be read in one way only, as far as that can be known (§9.3: it cannot be for certain).
    /// An answer with the same S that hides features in a form or an identity could otherwise be passed off as
    /// another client's. Who fails here is believed for itself, but for nobody else.
    pub fn is_unmistakable(&self) -> bool {
        let identity = |[category, kind, lang, name]: &[String; 4]| {
            let plain = |part: &str| !part.is_empty() && !part.contains(['/', ':']);
            plain(category) && plain(kind) && !lang.contains('/') && !name.contains('<')
        };
        let form = |(kind, fields): &Form| {
            let field = |(var, values): &(String, Vec<String>)| {
                !values.is_empty() && !var.contains('<') && values.iter().all(|value| !value.contains('<'))
            };
            kind == SOFTWARE_INFO && fields.iter().all(field)
        };
        self.identities.iter().all(identity)
            && self.features.iter().all(|feature| !feature.contains('<'))
            && self.forms.iter().all(form)
    }

    /// The features, to be looked up.
    pub fn into_features(self) -> Features {
        Features::new(self.features)
    }
}

fn identity(el: El<'_>) -> Option<[String; 4]> {
    let part = |name| el.attr(name).map(|part| part.into_owned());
    Some([
        part("category")?,
        part("type")?,
        part("xml:lang").unwrap_or_default(),
        part("name").unwrap_or_default(),
    ])
}
