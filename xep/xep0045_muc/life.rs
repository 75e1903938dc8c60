//! What a room is called and how long it lives: name, description, language, whether it can be found and whether it stays
//! when nobody is there (§4.2).

use super::fields::{Field, Shape};

/// The name for humans.
pub const NAME: Field = Field {
    is_told: true,
    ..Field::new("muc#roomconfig_roomname", "Name", Shape::Line(200), &[])
};

/// What it is about.
pub const DESCRIPTION: Field = Field::new("muc#roomconfig_roomdesc", "Description", Shape::Text(2_000), &[]);

/// The language that is spoken there.
pub const LANGUAGE: Field = Field::new("muc#roomconfig_lang", "Language", Shape::Line(40), &[]);

/// Public or hidden.
pub const PUBLIC: Field = Field {
    private: Some(&["0"]),
    feature: |values| Some(if is(values) { "muc_public" } else { "muc_hidden" }),
    ..Field::new(
        "muc#roomconfig_publicroom",
        "List this room publicly",
        Shape::Boolean,
        &["1"],
    )
};

/// Persistent or temporary.
pub const PERSISTENT: Field = Field {
    private: Some(&["1"]),
    feature: |values| {
        Some(if is(values) {
            "muc_persistent"
        } else {
            "muc_temporary"
        })
    },
    ..Field::new(
        "muc#roomconfig_persistentroom",
        "Keep the room when everybody has left",
        Shape::Boolean,
        &["0"],
    )
};

/// Whether a yes-or-no value is yes.
pub fn is(values: &[Box<str>]) -> bool {
    values.first().is_some_and(|value| **value == *"1")
}
