//! Texts of one message, kept once where they come again soon: a reference is met in the record that it names and in
//! those that point there. Bounded, and quick rather than thorough: a text that is forgotten is kept twice.

use smol_str::SmolStr;

/// The longest text that is looked for; longer ones hardly ever come twice.
const SHARED_MAX: usize = 128;
/// The longest text that needs no memory of its own.
const INLINE_MAX: usize = 23;
/// For so many bytes of a message there is a place for one text, the one that its end leads to.
const BYTES_A_PLACE: usize = 128;
/// The fewest and the most places.
const PLACES: std::ops::RangeInclusive<usize> = 64..=65_536;

/// The texts met last that need memory of their own.
#[derive(Debug)]
pub(super) struct Texts {
    places: Box<[SmolStr]>,
    /// How many places there will be with the first text.
    wanted: usize,
}

impl Texts {
    /// For a message of so many bytes.
    pub(super) fn new(length: usize) -> Self {
        let wanted = (length / BYTES_A_PLACE).clamp(*PLACES.start(), *PLACES.end());
        Texts { places: Box::default(), wanted }
    }

    /// The text, shared with the same text met before.
    #[inline]
    pub(super) fn text(&mut self, text: &str) -> SmolStr {
        if text.len() <= INLINE_MAX { SmolStr::new(text) } else { self.shared(text) }
    }

    fn shared(&mut self, text: &str) -> SmolStr {
        if text.len() > SHARED_MAX {
            return SmolStr::new(text);
        }
        if self.places.is_empty() {
            self.places = vec![SmolStr::default(); self.wanted].into();
        }
        let at = place_of(text, self.places.len());
        let Some(place) = self.places.get_mut(at) else { return SmolStr::new(text) };
        if place.as_str() != text {
            *place = SmolStr::new(text);
        }
        place.clone()
    }
}

/// The place of a text, one of so many. References and uuids differ in their last bytes.
fn place_of(text: &str, places: usize) -> usize {
    let end = text.as_bytes().last_chunk::<8>().map_or(0, |end| u64::from_le_bytes(*end));
    let mixed = (end ^ text.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The upper bits as a part of one, scaled: quicker than the rest of a division.
    usize::try_from(((mixed >> 32) * places as u64) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_out_as_it_went_in_and_long_ones_are_shared() {
        let mut texts = Texts::new(100_000);
        let all: Vec<String> =
            (0..10_000).map(|number| format!("OpaqueRef:{number:08x}-{}", "é".repeat(number % 70))).collect();
        for text in all.iter().chain(&all) {
            assert_eq!(texts.text(text), text.as_str());
        }
        let one = texts.text(&all[20]);
        assert!(std::ptr::eq(one.as_str(), texts.text(&all[20]).as_str()), "the same memory");
    }
}
