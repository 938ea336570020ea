//! The hash by which operators see whether two files say the same.

use std::io::{self, BufWriter, Write};

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::Value;

use crate::pace;

/// SHA-256.
pub type Digest = [u8; 32];

/// Of many short texts, each is written to the hash in one piece.
const BUFFER: usize = 512;

/// Of one value. The keys of a mapping are sorted in the tree, so that their order doesn't count.
pub fn of_value(value: &Value) -> Digest {
    let mut text = BufWriter::with_capacity(BUFFER, Hasher(Context::new(&SHA256)));
    // Neither of the two can fail.
    let _ = serde_json::to_writer(&mut text, value);
    let _ = text.flush();
    finish(text.get_ref().0.clone())
}

/// Of a file, in hex: from that of its values without the routes, and that of each route.
pub fn of_file(rest: &Digest, routes: impl Iterator<Item = Digest>) -> String {
    // In one piece: each call takes longer than the hash of one digest.
    let mut all = rest.to_vec();
    routes.for_each(|route| all.extend_from_slice(&route));
    let mut context = Context::new(&SHA256);
    context.update(&all);
    finish(context).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn finish(context: Context) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

struct Hasher(Context);

impl Write for Hasher {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        pace::step();
        self.0.update(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
