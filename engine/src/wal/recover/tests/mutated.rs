//! A lane whose files were scribbled on is refused, or a beginning of it is read: never anything
//! that was not appended.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::format::mutate::Dice;
use crate::wal::Recovered;

/// Takes a block of one of the lane's files, changes it, looks, and puts it back.
async fn scribbled(disk: &MemoryDisk, dice: &mut Dice, last: u64) -> Result<LaneImage, WalError> {
    let path = path(1 + dice.below(last as usize) as u64);
    let block = dice.below(8) as u64 * 4096;
    let mut before = Vec::new();
    patch(disk, &path, block, |bytes| {
        before = bytes.to_vec();
        let changed = match dice.below(3) {
            // Where frames begin.
            0 => [&dice.scribble(&bytes[..64])[..], &bytes[64..]].concat(),
            1 => dice.scribble(bytes),
            _ => {
                let mut other = dice.noise(4096);
                other.resize(4096, 0);
                other
            }
        };
        bytes.copy_from_slice(&changed);
    })
    .await;
    let found = found(disk).await;
    patch(disk, &path, block, |bytes| bytes.copy_from_slice(&before)).await;
    found
}

#[test]
fn a_scribbled_lane_is_refused_or_read_up_to_there() {
    test(1, async |disk| {
        era(&disk, 1, 12).await;
        era(&disk, 13, 20).await;
        let whole: Vec<Recovered> = found(&disk).await.unwrap().frames;
        let last = whole.last().unwrap().place.segment;
        let mut dice = Dice(17);
        let (mut refused, mut cut) = (0, 0);
        for case in 0..2_000 {
            match scribbled(&disk, &mut dice, last).await {
                Ok(image) => {
                    let frames = image.frames.len();
                    assert_eq!(image.frames[..], whole[..frames], "case {case}");
                    cut += usize::from(frames < whole.len());
                }
                Err(WalError::Corrupt { .. } | WalError::LostSegment { .. }) => refused += 1,
                Err(error) => panic!("case {case}: {error}"),
            }
        }
        assert_eq!(found(&disk).await.unwrap().frames, whole);
        assert!(refused > 100 && cut > 10, "{refused} refused, {cut} cut");
    });
}
