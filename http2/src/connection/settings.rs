//! What the peer says that it can take.

use super::Connection;
use super::receive::wrong_size;
use crate::error::Broken;
use crate::frame::{
    self, HEAD_BYTES, Head, PAYLOAD_BYTES_DEFAULT, WINDOW_MAX, flag, kind, setting,
};

impl<S> Connection<S> {
    pub(super) fn settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Broken> {
        if head.stream != 0 {
            return Err(Broken::protocol("SETTINGS on a stream"));
        }
        if head.has(flag::ACK) {
            return if payload.is_empty() {
                Ok(())
            } else {
                Err(wrong_size())
            };
        }
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(wrong_size());
        }
        for &[n0, n1, v0, v1, v2, v3] in settings {
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            self.setting(u16::from_be_bytes([n0, n1]), value)?;
        }
        self.move_windows()?;
        frame::write(self.out.tail(), kind::SETTINGS, flag::ACK, 0, &[]);
        self.control(HEAD_BYTES)
    }

    fn setting(&mut self, name: u16, value: u32) -> Result<(), Broken> {
        match name {
            setting::HEADER_TABLE_SIZE => self.encoder.set_table_max(value as usize),
            setting::ENABLE_PUSH if value > 1 => {
                return Err(Broken::protocol("ENABLE_PUSH is neither 0 nor 1"));
            }
            setting::MAX_CONCURRENT_STREAMS => self.peer_streams_max = value,
            setting::INITIAL_WINDOW_SIZE => {
                let window = i64::from(value);
                if window > WINDOW_MAX {
                    return Err(Broken::window());
                }
                self.peer_window_next = window;
            }
            setting::MAX_FRAME_SIZE => {
                let max = value as usize;
                if !(PAYLOAD_BYTES_DEFAULT..=frame::PAYLOAD_BYTES_MAX).contains(&max) {
                    return Err(Broken::protocol("MAX_FRAME_SIZE out of its bounds"));
                }
                self.peer_payload_max = max;
            }
            _ => {}
        }
        Ok(())
    }

    /// Applies the last of the windows that a frame gave: once, however many it gave, since all
    /// streams have to be gone through.
    fn move_windows(&mut self) -> Result<(), Broken> {
        let more = self.peer_window_next - self.peer_window;
        self.peer_window = self.peer_window_next;
        if more == 0 {
            return Ok(());
        }
        for (id, stream) in &mut self.streams {
            stream.send_window += more;
            if stream.send_window > WINDOW_MAX {
                return Err(Broken::window());
            }
            stream.queue_up(*id, &mut self.ready);
        }
        Ok(())
    }
}
