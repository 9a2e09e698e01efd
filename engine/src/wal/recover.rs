//! Reads back every lane below a directory. Called once, at the node's start.
//!
//! | found | means | outcome |
//! |---|---|---|
//! | no directory, or a lane without segments | nothing was ever durable | nothing |
//! | frames that chain to the end | a clean end | all of them |
//! | a broken frame in the last segment | a torn write | cut there, with all behind it |
//! | the same, but a later frame knew it durable | damage | `Corrupt` |
//! | a broken frame, a later segment begun | damage: a header is written only after | `Corrupt` |
//! | frames from an earlier use of the file | another number, another seed | not seen |
//! | no valid header | prepared, or torn when it was begun | ready for use |
//! | the same, but its frames or a begun segment follow | damage | `Corrupt` |
//! | a number missing behind a begun segment | a lost file | `LostSegment` |
//! | numbers missing at the front | released | the rest |
//! | a segment of a later era | its header says where the former was cut | the rest is not seen |
//! | `new-...` | killed while filling | left for the lane's start to remove |
//! | another cluster or member, a newer format | not ours | an error that says so |

use bytes::Bytes;

use super::error::{Tried, corrupt};
use super::reader::{Cursor, Segment};
use super::{FrameHead, Identity, Lsn, Place, WalError, names};
use crate::env::{Disk, DiskFile, OpenMode};
use crate::format::frame::{self, HEAD_BYTES};
use crate::format::segment::{Found, HEADER_BYTES, Header, VERSION};
use crate::ids::LaneId;
use crate::limits::WAL_FILL_BYTES;

/// A frame read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The opening of the node it was written in.
    pub era: u64,
    /// Its number in the lane.
    pub lsn: Lsn,
    /// What it is.
    pub head: FrameHead,
    /// Where its payload is, for reading it again.
    pub place: Place,
    /// The payload; borrows the whole segment's memory.
    pub payload: Bytes,
}

/// A begun segment of a recovered lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailSegment {
    pub(super) number: u64,
    pub(super) first_lsn: u64,
    pub(super) seed: u32,
    /// Of the file.
    pub(super) bytes: u64,
    /// By frames.
    pub(super) used: u64,
}

/// Where a recovered lane ends, for [`super::Lane::create`] to go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneTail {
    /// The lane.
    pub lane: LaneId,
    /// The last era in it, 0 if none.
    pub era: u64,
    /// Its last frame.
    pub last_lsn: Lsn,
    pub(super) chain: u32,
    pub(super) next_segment: u64,
    pub(super) segments: Vec<TailSegment>,
}

/// A lane as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneImage {
    /// The lane.
    pub lane: LaneId,
    /// Where it ends.
    pub tail: LaneTail,
    /// Its frames, in order.
    pub frames: Vec<Recovered>,
}

/// Reads every lane below `dir`, by number. Changes nothing.
///
/// # Errors
/// Damage, a log of another identity or of a newer format, `Io`; each names the file.
pub async fn recover<D: Disk>(
    disk: &D,
    dir: &str,
    identity: Identity,
) -> Result<Vec<LaneImage>, WalError> {
    let names = match disk.list(dir).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names.tried("list", dir)?,
    };
    let mut images = Vec::new();
    for lane in names.iter().filter_map(|name| names::lane_of(name)) {
        images.extend(recover_lane(disk, dir, lane, identity).await?);
    }
    Ok(images)
}

/// The directory of a lane below `dir`, if there is any: a log was begun there.
///
/// # Errors
/// `Io`.
pub async fn any_lane<D: Disk>(disk: &D, dir: &str) -> Result<Option<String>, WalError> {
    let names = match disk.list(dir).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        names => names.tried("list", dir)?,
    };
    let lane = names.iter().find_map(|name| names::lane_of(name));
    Ok(lane.map(|lane| names::lane_dir(dir, lane)))
}

/// The era of the opening that follows these lanes.
pub fn era_after(images: &[LaneImage]) -> u64 {
    images.iter().map(|image| image.tail.era).max().unwrap_or(0) + 1
}

/// Removes a lane's segments, oldest first, once a checkpoint covers them all.
///
/// # Errors
/// `Io`. What is left can be recovered and removed again.
pub async fn remove_lane<D: Disk>(disk: &D, dir: &str, lane: LaneId) -> Result<(), WalError> {
    let dir = names::lane_dir(dir, lane);
    for name in disk.list(&dir).await.tried("list", &dir)? {
        let path = format!("{dir}/{name}");
        disk.remove(&path).await.tried("remove", &path)?;
        disk.sync_dir(&dir)
            .await
            .tried("sync the directory", &dir)?;
    }
    Ok(())
}

/// A begun segment's file.
struct Begun<F> {
    path: String,
    header: Header,
    seed: u32,
    file: F,
}

async fn recover_lane<D: Disk>(
    disk: &D,
    dir: &str,
    lane: LaneId,
    identity: Identity,
) -> Result<Option<LaneImage>, WalError> {
    let dir = names::lane_dir(dir, lane);
    let names = disk.list(&dir).await.tried("list", &dir)?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| names::segment_of(name))
        .collect();
    numbers.sort_unstable();
    let Some(first) = numbers.first() else {
        return Ok(None);
    };
    let mut tail = LaneTail {
        lane,
        era: 0,
        last_lsn: Lsn(0),
        chain: 0,
        next_segment: *first,
        segments: Vec::new(),
    };
    let mut begun: Vec<Begun<D::File>> = Vec::new();
    let mut headless: Option<String> = None;
    for number in numbers {
        let path = names::segment(&dir, number);
        let found = open(disk, path.clone(), number, lane, identity).await?;
        // Also where the next file is only prepared: files are prepared in the order of their
        // numbers, so the one that is missing was there, and is the lane's end.
        let due = begun.last().map_or(number, |last| last.header.number + 1);
        if headless.is_none() && number != due {
            return Err(WalError::LostSegment {
                dir: dir.into(),
                number: due,
            });
        }
        match found {
            None => headless = headless.or(Some(path)),
            Some(found) => {
                if let Some(headless) = headless {
                    return corrupt(&headless, 0, "the header is damaged; later segments follow");
                }
                tail.next_segment = number + 1;
                begun.push(found);
            }
        }
    }
    let mut frames = Vec::new();
    let mut next = begun
        .iter()
        .map(|begun| begun.header)
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter();
    for segment in &begun {
        read_segment(segment, next.next(), &mut tail, &mut frames).await?;
    }
    Ok(Some(LaneImage { lane, tail, frames }))
}

/// Opens a segment's file; `None` if it is not begun.
async fn open<D: Disk>(
    disk: &D,
    path: String,
    number: u64,
    lane: LaneId,
    identity: Identity,
) -> Result<Option<Begun<D::File>>, WalError> {
    let file = disk
        .open(&path, OpenMode::READ)
        .await
        .tried("open", &path)?;
    let start = file
        .read(0, HEADER_BYTES + HEAD_BYTES)
        .await
        .tried("read", &path)?;
    let (header, seed) = match Header::parse(&start) {
        Found::Header(header, seed) => (header, seed),
        Found::Newer(found) => {
            return Err(WalError::NewerFormat {
                file: path.into(),
                found,
                known: VERSION,
            });
        }
        Found::Nothing => {
            let first = start.get(HEADER_BYTES..).unwrap_or_default();
            if frame::segment_named(first) == number {
                return corrupt(&path, 0, "the header is damaged; frames follow");
            }
            return Ok(None);
        }
    };
    check_owner(&path, &header, identity)?;
    if header.lane != lane {
        return corrupt(&path, 0, "the header names another lane");
    }
    if header.number > number {
        return corrupt(&path, 0, "the header names a later segment");
    }
    if header.number < number {
        let first = start.get(HEADER_BYTES..).unwrap_or_default();
        if frame::segment_named(first) == number {
            return corrupt(&path, 0, "the header is of an earlier use; frames follow");
        }
        return Ok(None);
    }
    let len = file.len().await.tried("find the length of", &path)?;
    if len < header.bytes {
        return corrupt(&path, len, "the file is shorter than its header says");
    }
    Ok(Some(Begun {
        path,
        header,
        seed,
        file,
    }))
}

/// Refuses a segment that another cluster or member wrote.
fn check_owner(path: &str, header: &Header, identity: Identity) -> Result<(), WalError> {
    let (found, own) = (header.identity.cluster.0, identity.cluster.0);
    if found != own {
        return Err(WalError::OtherCluster {
            file: path.into(),
            found,
            own,
        });
    }
    let (found, own) = (header.identity.member.0, identity.member.0);
    if found != own {
        return Err(WalError::OtherMember {
            file: path.into(),
            found,
            own,
        });
    }
    Ok(())
}

/// Reads one segment's frames. `next` is the header of the segment that follows.
async fn read_segment<F: DiskFile>(
    begun: &Begun<F>,
    next: Option<Header>,
    tail: &mut LaneTail,
    frames: &mut Vec<Recovered>,
) -> Result<(), WalError> {
    let Begun {
        path,
        header,
        seed,
        file,
    } = begun;
    if header.era < tail.era {
        return corrupt(path, 0, "the era is earlier than the segment's before");
    }
    let bytes = read_all(file, header.bytes).await.tried("read", path)?;
    let segment = Segment {
        bytes,
        number: header.number,
        seed: *seed,
    };
    let mut cursor = Cursor::new(header.first_lsn, header.chain);
    let limit = next.map_or(u64::MAX, |next| next.first_lsn);
    while cursor.lsn < limit
        && let Some((at, frame)) = segment.next(&mut cursor)
    {
        let place = Place {
            lane: header.lane,
            segment: header.number,
            offset: (at + HEAD_BYTES) as u32,
            len: frame.len as u32,
        };
        let payload = segment.payload(at, &frame);
        let (era, lsn, head) = (header.era, Lsn(frame.lsn), frame.head);
        frames.push(Recovered {
            era,
            lsn,
            head,
            place,
            payload,
        });
    }
    check_end(path, &segment, cursor, next)?;
    tail.era = header.era;
    tail.last_lsn = Lsn(cursor.lsn - 1);
    tail.chain = cursor.chain;
    tail.segments.push(TailSegment {
        number: header.number,
        first_lsn: header.first_lsn,
        seed: *seed,
        bytes: header.bytes,
        used: cursor.at as u64 - HEADER_BYTES as u64,
    });
    Ok(())
}

/// A segment's frames may end early only where nothing was durable behind them.
fn check_end(
    path: &str,
    segment: &Segment,
    cursor: Cursor,
    next: Option<Header>,
) -> Result<(), WalError> {
    match next {
        Some(next) if cursor.lsn != next.first_lsn => {
            let what = "the frame is damaged; a later segment was begun after it was durable";
            corrupt(path, segment.missing_at(cursor), what)
        }
        Some(next) if cursor.chain != next.chain => corrupt(
            path,
            cursor.at as u64,
            "the next segment continues another log",
        ),
        None if segment.was_durable(cursor) => {
            let what = "the frame is damaged; a later one says it was durable";
            corrupt(path, segment.missing_at(cursor), what)
        }
        _ => Ok(()),
    }
}

async fn read_all<F: DiskFile>(file: &F, bytes: u64) -> std::io::Result<Bytes> {
    let mut all = Vec::with_capacity(bytes as usize);
    while (all.len() as u64) < bytes {
        let len = (bytes as usize - all.len()).min(WAL_FILL_BYTES);
        let part = file.read(all.len() as u64, len).await?;
        if part.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        all.extend_from_slice(&part);
    }
    Ok(all.into())
}

#[cfg(test)]
mod tests;
