//! The id of an event: how far a stream has read each of its archives.

/// Between the places.
const BETWEEN: char = '~';
/// The place before everything.
const BEGINNING: &str = "0";
/// The longest id of an archive.
const ID_BYTES_MAX: usize = 64;

/// The last message of each archive that was told: the account's own first, then those of the rooms in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position(Vec<Option<String>>);

impl Position {
    /// Before everything in so many archives.
    pub fn new(archives: usize) -> Position {
        Position(vec![None; archives])
    }

    /// Reads an id of a stream in so many rooms.
    pub fn read(text: &str, rooms: usize) -> Option<Position> {
        let place = |part: &str| match part {
            BEGINNING => Some(None),
            id => {
                let is_id = (1..=ID_BYTES_MAX).contains(&id.len())
                    && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
                is_id.then(|| Some(id.to_owned()))
            }
        };
        let places: Option<Vec<_>> = text.split(BETWEEN).map(place).collect();
        places.filter(|places| places.len() == rooms + 1).map(Position)
    }

    /// The last message of an archive; nothing before its first one.
    pub fn at(&self, archive: usize) -> Option<&str> {
        self.0.get(archive)?.as_deref()
    }

    /// One further message was told.
    pub fn advance(&mut self, archive: usize, id: String) {
        if let Some(place) = self.0.get_mut(archive) {
            *place = Some(id);
        }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, place) in self.0.iter().enumerate() {
            if at > 0 {
                write!(f, "{BETWEEN}")?;
            }
            f.write_str(place.as_deref().unwrap_or(BEGINNING))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back_as_it_was_written() {
        let mut position = Position::new(3);
        assert_eq!(position.to_string(), "0~0~0");
        position.advance(1, "abc".into());
        position.advance(7, "x".into());
        assert_eq!(position.to_string(), "0~abc~0");
        assert_eq!(Position::read("0~abc~0", 2), Some(position.clone()));
        assert_eq!(
            (position.at(0), position.at(1), position.at(9)),
            (None, Some("abc"), None)
        );
        for (text, rooms) in [("0", 1), ("0~0", 0), ("", 0), ("a~", 1), ("a b", 0), ("'", 0)] {
            assert_eq!(Position::read(text, rooms), None, "{text:?} with {rooms} rooms");
        }
        assert_eq!(Position::read(&"a".repeat(65), 0), None);
    }
}
