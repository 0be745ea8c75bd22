//! The registry's metrics.

use diwan_registry::edge::Status;

use super::Text;

/// All of them, in Prometheus' text form.
pub(crate) fn text(status: &Status) -> String {
    let mut text = Text(String::new());
    let counts = &status.counts;
    for (name, kind, help, value) in [
        (
            "connections",
            "gauge",
            "Clients of this node that have registered something",
            counts.connections,
        ),
        (
            "publishers",
            "gauge",
            "Instances of this node's clients",
            counts.publishers,
        ),
        (
            "subscribers",
            "gauge",
            "Subscribers of this node",
            counts.subscribers,
        ),
        (
            "watchers",
            "gauge",
            "Of this node, who wants to know settings",
            counts.watchers,
        ),
        (
            "services",
            "gauge",
            "Services with instances or subscribers",
            counts.services,
        ),
        (
            "instances",
            "gauge",
            "Instances of all nodes' clients",
            counts.instances,
        ),
        (
            "copies",
            "gauge",
            "Copies of them, one for each node that vouches for one",
            counts.copies,
        ),
        (
            "withdrawn",
            "gauge",
            "Withdrawals of instances that are remembered for a while",
            counts.withdrawn,
        ),
        (
            "pushes_total",
            "counter",
            "What was sent to clients",
            counts.pushes,
        ),
        (
            "retries_total",
            "counter",
            "Pushes that were not acknowledged in time",
            counts.retries,
        ),
        (
            "slow_clients",
            "gauge",
            "Clients that were sent something and acknowledged nothing for more than 5 s",
            counts.slow_clients,
        ),
        (
            "held_instances",
            "gauge",
            "Instances that the shrink guard holds back",
            counts.held,
        ),
        (
            "refused_total",
            "counter",
            "Registrations of clients that were refused",
            status.refused,
        ),
        (
            "malformed_requests_total",
            "counter",
            "Messages of clients that could not be read",
            status.malformed_requests,
        ),
        (
            "malformed_total",
            "counter",
            "Messages of other nodes, and settings, that make no sense",
            counts.malformed,
        ),
        (
            "pushes_stopped",
            "gauge",
            "1 while an operator has stopped all pushes",
            counts.pushes_stopped.into(),
        ),
        (
            "serving",
            "gauge",
            "1 once lists are pushed",
            counts.serving.into(),
        ),
    ] {
        text.one(&format!("diwan_registry_{name}"), kind, help, value);
    }
    let nodes = || status.nodes.iter();
    let label = |node: &str| vec![("node", node.to_owned())];
    text.family(
        (
            "diwan_registry_node_ahead_seconds",
            "gauge",
            "So far another node's clock is ahead of this one's",
        ),
        nodes().map(|node| (label(&node.node), node.ahead_ms as f64 / 1e3)),
    );
    text.family(
        (
            "diwan_registry_node_behind_changes",
            "gauge",
            "Changes of this node that another does not know yet",
        ),
        nodes().map(|node| (label(&node.node), node.behind as f64)),
    );
    text.family(
        (
            "diwan_registry_node_serving",
            "gauge",
            "1 if another node answers, and pushes lists",
        ),
        nodes().map(|node| (label(&node.node), f64::from(u8::from(node.serving)))),
    );
    text.0
}
