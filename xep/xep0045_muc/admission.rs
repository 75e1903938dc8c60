//! The settings that decide who may enter a room, and with which role.

use kim_core::wire::Writer;

use super::fields::{Field, RoomConfig, Shape, write_text};
use super::life;
use super::names::USER;

/// Members only or open (§7.2.6).
pub const MEMBERS_ONLY: Field = Field {
    private: Some(&["1"]),
    feature: |values| {
        Some(if life::is(values) {
            "muc_membersonly"
        } else {
            "muc_open"
        })
    },
    ..Field::new(
        "muc#roomconfig_membersonly",
        "Only members may enter",
        Shape::Boolean,
        &["0"],
    )
};

/// Password-protected or unsecured (§7.2.5).
pub const PASSWORD_PROTECTED: Field = Field {
    feature: |values| {
        Some(if life::is(values) {
            "muc_passwordprotected"
        } else {
            "muc_unsecured"
        })
    },
    ..Field::new(
        "muc#roomconfig_passwordprotectedroom",
        "A password is needed to enter",
        Shape::Boolean,
        &["0"],
    )
};

/// The password.
pub const PASSWORD: Field = Field::new("muc#roomconfig_roomsecret", "Password", Shape::Secret(256), &[]);

/// How many may be there (§7.2.9); nothing or 0: as many as the service allows.
pub const OCCUPANTS_MAX: Field = Field {
    words: &[("none", "0"), ("", "0")],
    ..Field::new(
        "muc#roomconfig_maxusers",
        "Most occupants",
        Shape::Most(1_000_000),
        &["0"],
    )
};

/// Moderated or unmoderated.
pub const MODERATED: Field = Field {
    feature: |values| {
        Some(if life::is(values) {
            "muc_moderated"
        } else {
            "muc_unmoderated"
        })
    },
    ..Field::new(
        "muc#roomconfig_moderatedroom",
        "Only those with voice may speak",
        Shape::Boolean,
        &["0"],
    )
};

/// The password of a room, for those who are invited.
pub fn write_password(xml: &mut Writer, config: &RoomConfig) {
    if config.is(&PASSWORD_PROTECTED) {
        write_text(xml, "password", USER, config.text(&PASSWORD));
    }
}
