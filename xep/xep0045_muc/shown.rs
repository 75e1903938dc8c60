//! What a room looks like from outside, for those who show it to people: the web pages.

use super::views::RoomView;
use super::{guests, life};

impl RoomView {
    /// What people call it; empty if it has no name but its address.
    pub fn title(&self) -> &str {
        self.config.text(&life::NAME)
    }

    /// What it is about; may be empty.
    pub fn about(&self) -> &str {
        self.config.text(&life::DESCRIPTION)
    }

    /// Whether anybody may find it.
    pub fn is_public(&self) -> bool {
        self.config.is(&life::PUBLIC)
    }

    /// Whether somebody without an account may enter it.
    pub fn admits_guests(&self) -> bool {
        guests::may_enter(&self.config).is_ok()
    }
}
