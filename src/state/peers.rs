//! How many connections each address has. Never what they do.

use core::net::IpAddr;

use hashbrown::HashMap;
use slab::Slab;

#[derive(Debug)]
struct Peer {
    /// `None`: a Unix socket.
    address: Option<IpAddr>,
    connections: u32,
}

/// Addresses with at least one connection; a connection holds its peer's slot, not the address.
#[derive(Debug, Default)]
pub struct Peers {
    slots: Slab<Peer>,
    by_address: HashMap<Option<IpAddr>, u32>,
}

impl Peers {
    /// Counts a connection in and gives its peer's slot.
    pub fn enter(&mut self, address: Option<IpAddr>) -> u32 {
        let slots = &mut self.slots;
        let slot = *self.by_address.entry(address).or_insert_with(|| {
            slots.insert(Peer {
                address,
                connections: 0,
            }) as u32
        });
        if let Some(peer) = slots.get_mut(slot as usize) {
            peer.connections += 1;
        }
        slot
    }

    /// Counts a connection out.
    pub fn leave(&mut self, slot: u32) {
        let Some(peer) = self.slots.get_mut(slot as usize) else {
            return;
        };
        peer.connections -= 1;
        if peer.connections == 0 {
            self.by_address.remove(&peer.address);
            self.slots.remove(slot as usize);
        }
    }

    /// Connections of an address.
    pub fn connections(&self, address: Option<IpAddr>) -> u32 {
        let slot = self.by_address.get(&address);
        slot.and_then(|&slot| self.slots.get(slot as usize))
            .map_or(0, |peer| peer.connections)
    }

    /// The address of a slot; `None` for a Unix socket.
    pub fn address(&self, slot: u32) -> Option<IpAddr> {
        self.slots.get(slot as usize).and_then(|peer| peer.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_connection_takes_its_address_along() {
        let (mut peers, one) = (Peers::default(), Some(IpAddr::from([10, 0, 0, 1])));
        let slot = peers.enter(one);
        assert_eq!((peers.enter(one), peers.connections(one)), (slot, 2));
        assert_eq!(peers.address(slot), one);
        let unix = peers.enter(None);
        assert_ne!(unix, slot);
        peers.leave(slot);
        peers.leave(slot);
        assert_eq!((peers.connections(one), peers.slots.len()), (0, 1));
        peers.leave(unix);
        assert!(peers.slots.is_empty() && peers.by_address.is_empty());
    }
}
