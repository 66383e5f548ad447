//! Interfaces and their counters by rtnetlink: a dump of RTM_GETSTATS (rtnetlink(7), linux/if_link.h), Linux 4.7.
//!
//! Parsing is pure and total over arbitrary bytes. RTM_GETLINK has names as well, but tells so much else that it costs
//! the kernel four times as much: names come from SIOCGIFNAME. A dump waits for the kernel's rtnl lock, which a driver
//! in trouble may hold for minutes: it is a [`Question`] for a watched thread.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use compact_str::CompactString;
use rustix::io::Errno;
use rustix::net::netdevice::index_to_name_inlined;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use super::watched::Question;

/// Counters of `struct rtnl_link_stats64`, in its order; a newer kernel's further ones are ignored.
pub const COUNTERS: usize = 24;

const RTM_NEWSTATS: u16 = 92;
const RTM_GETSTATS: u16 = 94;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const IFLA_STATS_LINK_64: u16 = 1;
/// `IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64)`.
const ONLY_LINK_64: u32 = 1;
/// Bits of an attribute's type that are flags.
const NLA_TYPE_MASK: u16 = 0x3fff;
/// Sizes of `struct nlmsghdr`, `struct if_stats_msg` and `struct rtattr`.
const MESSAGE_HEADER: usize = 16;
const STATS_HEADER: usize = 12;
const ATTRIBUTE_HEADER: usize = 4;
/// The kernel makes no part of a dump larger.
const BUFFER: usize = 32 << 10;
/// A dump that interfaces keep changing under is taken after so many tries.
const TRIES: u32 = 3;

/// Every interface of this thread's network namespace. The socket is opened when first needed and anew after a failure.
#[derive(Clone, Default)]
pub struct Links(Arc<Mutex<Option<Netlink>>>);

impl Question for Links {
    type Answer = Result<Vec<Link>, Errno>;
    /// Fails with the kernel's error, and with EBADMSG when its answer is not understood.
    fn answer(&self) -> Self::Answer {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut netlink = kept.take().map_or_else(Netlink::open, Ok)?;
        let links = netlink.links()?;
        *kept = Some(netlink);
        Ok(links)
    }
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
    fn hangs_with(&self, _: &Self) -> bool {
        true
    }
}

/// One interface.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    pub name: CompactString,
    index: u32,
    counters: [u64; COUNTERS],
    /// How many counters this kernel has.
    count: usize,
}

impl Link {
    pub fn counters(&self) -> &[u64] {
        &self.counters[..self.count]
    }
}

/// A socket to the kernel's routing tables.
struct Netlink {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Netlink {
    fn open() -> Result<Self, Errno> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Netlink { socket, buffer: vec![0; BUFFER], sequence: 0 })
    }

    /// Interfaces that are gone before they could be named are left out.
    fn links(&mut self) -> Result<Vec<Link>, Errno> {
        let mut links = Vec::new();
        for _ in 0..TRIES {
            links.clear();
            if self.dump(&mut links)? {
                break;
            }
        }
        links.retain_mut(|link: &mut Link| match index_to_name_inlined(&self.socket, link.index) {
            Ok(name) => {
                link.name = name.as_str().into();
                true
            }
            Err(_) => false,
        });
        Ok(links)
    }

    /// Whether nothing changed meanwhile.
    fn dump(&mut self, links: &mut Vec<Link>) -> Result<bool, Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        send(&self.socket, &request(self.sequence), SendFlags::empty())?;
        let mut whole = true;
        loop {
            let (_, length) = recv(&self.socket, &mut self.buffer[..], RecvFlags::TRUNC)?;
            let part = self.buffer.get(..length).ok_or(Errno::BADMSG)?;
            for message in Messages(part) {
                let message = message.filter(|m| m.sequence == self.sequence).ok_or(Errno::BADMSG)?;
                whole &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.kind {
                    RTM_NEWSTATS => links.extend(link(message.payload)),
                    NLMSG_DONE => return Ok(whole),
                    NLMSG_ERROR => return Err(error(message.payload)),
                    _ => {}
                }
            }
        }
    }
}

fn request(sequence: u32) -> [u8; MESSAGE_HEADER + STATS_HEADER] {
    let mut request = [0; MESSAGE_HEADER + STATS_HEADER];
    request[..4].copy_from_slice(&((MESSAGE_HEADER + STATS_HEADER) as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&RTM_GETSTATS.to_ne_bytes());
    request[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    request[8..12].copy_from_slice(&sequence.to_ne_bytes());
    request[MESSAGE_HEADER + 8..].copy_from_slice(&ONLY_LINK_64.to_ne_bytes());
    request
}

fn error(payload: &[u8]) -> Errno {
    let errno = payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if errno < 0 { Errno::from_raw_os_error(-errno) } else { Errno::BADMSG }
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

/// Messages of one datagram; `None` once when the rest is none.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Option<Message<'a>>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let message = split(self.0);
        self.0 = message.as_ref().map_or(&[], |(_, rest)| rest);
        Some(message.map(|(message, _)| message))
    }
}

fn split(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let header: &[u8; MESSAGE_HEADER] = bytes.first_chunk()?;
    let length = u32_at(header, 0)? as usize;
    let message = Message {
        kind: u16_at(header, 4)?,
        flags: u16_at(header, 6)?,
        sequence: u32_at(header, 8)?,
        payload: bytes.get(MESSAGE_HEADER..length)?,
    };
    Some((message, bytes.get(aligned(length)..).unwrap_or_default()))
}

/// The interface of an RTM_NEWSTATS message, if it has counters.
fn link(payload: &[u8]) -> Option<Link> {
    let mut link =
        Link { name: CompactString::default(), index: u32_at(payload, 4)?, counters: [0; COUNTERS], count: 0 };
    let mut rest = payload.get(STATS_HEADER..)?;
    while let Some((kind, value, next)) = attribute(rest) {
        if kind == IFLA_STATS_LINK_64 {
            let (counters, _) = value.as_chunks();
            link.count = counters.len().min(COUNTERS);
            for (counter, bytes) in link.counters.iter_mut().zip(counters) {
                *counter = u64::from_ne_bytes(*bytes);
            }
        }
        rest = next;
    }
    (link.count > 0).then_some(link)
}

/// Type, value, and what follows.
fn attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::from(u16_at(bytes, 0)?);
    let value = bytes.get(ATTRIBUTE_HEADER..length)?;
    Some((u16_at(bytes, 2)? & NLA_TYPE_MASK, value, bytes.get(aligned(length)..).unwrap_or_default()))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_ne_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

/// Messages and attributes begin at multiples of 4.
fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attribute_bytes(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((ATTRIBUTE_HEADER + value.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    #[test]
    fn a_link_has_an_index_and_counters() {
        let counters: Vec<u8> = (1..=25u64).flat_map(u64::to_ne_bytes).collect();
        let mut payload = vec![0; STATS_HEADER];
        payload[4..8].copy_from_slice(&7u32.to_ne_bytes());
        payload.extend(attribute_bytes(99, b"?"));
        assert_eq!(link(&payload), None);
        payload.extend(attribute_bytes(IFLA_STATS_LINK_64, &counters));
        let link = link(&payload).unwrap();
        assert_eq!((link.index, link.counters()[23], link.counters().len()), (7, 24, COUNTERS));
    }

    #[test]
    fn an_error_is_the_kernels() {
        assert_eq!(error(&(-1i32).to_ne_bytes()), Errno::PERM);
        assert_eq!(error(b""), Errno::BADMSG);
    }

    #[test]
    fn the_running_kernel_has_a_loopback() {
        let links = Links::default();
        for _ in 0..2 {
            let answer = links.answer().unwrap();
            assert!(answer.iter().any(|l| l.name == "lo" && l.counters().len() == COUNTERS), "{answer:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = link(&bytes);
            prop_assert!(Messages(&bytes).count() <= bytes.len());
        }
    }
}
