//! A text as a QR code of block characters, with two rows of the code in each line of the terminal.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// Black on white, from the part of the palette that no colour scheme changes.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const RESET: &str = "\x1b[0m";

/// The code with its quiet zone; `None` for a text that is too long. With colours, every terminal shows black on white.
/// Without them (in a file or a journal) the blocks are drawn for a dark background.
pub(super) fn code(text: &str, colours: bool) -> Option<String> {
    // Nothing on a screen is torn or stained, so the smallest code reads best.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let (dark, light) = match colours {
        true => (Dense1x2::Dark, Dense1x2::Light),
        false => (Dense1x2::Light, Dense1x2::Dark),
    };
    let picture = code
        .render::<Dense1x2>()
        .dark_color(dark)
        .light_color(light)
        .build();
    if !colours {
        return Some(picture);
    }
    let lines = picture
        .lines()
        .map(|line| format!("{BLACK_ON_WHITE}{line}{RESET}"));
    Some(lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_colours_each_line_sets_and_resets_them_and_the_blocks_are_inverted() {
        let plain = code("https://example.org/", false).unwrap();
        let coloured = code("https://example.org/", true).unwrap();
        assert!(!plain.contains('\x1b'));
        // A code has an odd number of rows: the last line is half empty either way.
        let lines = plain.lines().count() - 1;
        for (plain, coloured) in plain.lines().zip(coloured.lines()).take(lines) {
            let inner = coloured.strip_prefix(BLACK_ON_WHITE).unwrap();
            let inner = inner.strip_suffix(RESET).unwrap();
            let inverted = |block| match block {
                ' ' => '█',
                '█' => ' ',
                '▀' => '▄',
                _ => '▀',
            };
            assert_eq!(inner.chars().map(inverted).collect::<String>(), plain);
        }
        // The quiet zone is white: spaces on a white background.
        let first = coloured.lines().next().unwrap();
        assert!(first.contains("231m    "), "{first:?}");
    }
}
