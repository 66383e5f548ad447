//! Network interfaces: collector `netdev`.

use super::{Family, LabelMap, OtelKind, OtelMetric, Per, Term, families};

static IO: OtelMetric = counter("system.network.io", "By", "Bytes transmitted and received.");
static ERRORS: OtelMetric = counter("system.network.errors", "{error}", "Network errors.");
static DROPPED: OtelMetric = counter("system.network.packet.dropped", "{packet}", "Packets dropped.");
static COUNT: OtelMetric = counter("system.network.packet.count", "{packet}", "Packets transmitted and received.");

const fn counter(name: &'static str, unit: &'static str, description: &'static str) -> OtelMetric {
    OtelMetric::new(name, unit, OtelKind::Counter, description)
}

const INTERFACE: &[LabelMap] = &[LabelMap::to("device", "network.interface.name")];
/// The registry names the interface differently for the packet count.
const DEVICE: &[LabelMap] = &[LabelMap::to("device", "system.device")];
const RECEIVE: &[(&str, &str)] = &[("network.io.direction", "receive")];
const TRANSMIT: &[(&str, &str)] = &[("network.io.direction", "transmit")];

macro_rules! netdev {
    ($key:literal) => {
        Family::counter(
            "netdev",
            concat!("node_network_", $key, "_total"),
            concat!("Network device statistic ", $key, "."),
        )
        .labels(&["device"])
        .budget(1, Per::Interface)
    };
}

families! {
    RECEIVE_BYTES = netdev!("receive_bytes").otel(&[Term::of(&IO).with(RECEIVE).map(INTERFACE)]);
    RECEIVE_PACKETS = netdev!("receive_packets").otel(&[Term::of(&COUNT).with(RECEIVE).map(DEVICE)]);
    RECEIVE_ERRS = netdev!("receive_errs").otel(&[Term::of(&ERRORS).with(RECEIVE).map(INTERFACE)]);
    RECEIVE_DROP = netdev!("receive_drop").otel(&[Term::of(&DROPPED).with(RECEIVE).map(INTERFACE)]);
    RECEIVE_FIFO = netdev!("receive_fifo");
    RECEIVE_FRAME = netdev!("receive_frame");
    RECEIVE_COMPRESSED = netdev!("receive_compressed");
    RECEIVE_MULTICAST = netdev!("receive_multicast");
    RECEIVE_NOHANDLER = netdev!("receive_nohandler");
    TRANSMIT_BYTES = netdev!("transmit_bytes").otel(&[Term::of(&IO).with(TRANSMIT).map(INTERFACE)]);
    TRANSMIT_PACKETS = netdev!("transmit_packets").otel(&[Term::of(&COUNT).with(TRANSMIT).map(DEVICE)]);
    TRANSMIT_ERRS = netdev!("transmit_errs").otel(&[Term::of(&ERRORS).with(TRANSMIT).map(INTERFACE)]);
    TRANSMIT_DROP = netdev!("transmit_drop").otel(&[Term::of(&DROPPED).with(TRANSMIT).map(INTERFACE)]);
    TRANSMIT_FIFO = netdev!("transmit_fifo");
    TRANSMIT_COLLS = netdev!("transmit_colls");
    TRANSMIT_CARRIER = netdev!("transmit_carrier");
    TRANSMIT_COMPRESSED = netdev!("transmit_compressed");
}
