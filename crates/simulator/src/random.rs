//! Made-up references and uuids, the same for the same seed.

use smol_str::{SmolStr, format_smolstr};

/// A stream of numbers from a seed (SplitMix64). Not for secrets: session references come from the system.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream that belongs to a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// A stream of its own for one purpose, so that what others take does not change it.
    pub(crate) fn branch(seed: u64, purpose: &str, number: u64) -> Self {
        // FNV-1a: all that is asked is that purposes differ.
        let named = purpose.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        let mut mixed = Random(seed ^ named);
        let start = mixed.number() ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        Random(Random(start).number())
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // The remainder is below `bound`, so it fits.
        usize::try_from(self.number() % bound as u64).unwrap_or_default()
    }

    /// A number from 0 up to and without 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        // 53 bits are what such a number holds.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let bits = (self.number() >> 11) as f64;
        bits / (1u64 << 53) as f64
    }

    /// A made-up uuid.
    pub(crate) fn uuid(&mut self) -> SmolStr {
        let (high, low) = (self.number(), self.number());
        format_smolstr!("{}", uuid::Uuid::from_u64_pair(high, low))
    }

    /// A made-up reference.
    pub(crate) fn reference(&mut self) -> SmolStr {
        format_smolstr!("OpaqueRef:{}", self.uuid())
    }

    /// A made-up address of a network card, from the range that XenSource owns.
    pub(crate) fn mac(&mut self) -> SmolStr {
        let bytes = self.number().to_be_bytes();
        format_smolstr!("00:16:3e:{:02x}:{:02x}:{:02x}", bytes[0] & 0x7f, bytes[1], bytes[2])
    }
}
