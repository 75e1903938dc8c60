//! A text as a QR code of block characters, two rows of the code in one line of the terminal.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// The code with its quiet zone, for terminals with a dark background; `None` for a text that is too long for one.
pub(super) fn code(text: &str) -> Option<String> {
    // A screen is never torn or stained: the smallest code is read best.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let picture = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    Some(picture)
}
