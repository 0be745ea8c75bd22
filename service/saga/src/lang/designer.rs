//! The designer's drawing as a plain machine (`apache/incubator-seata:saga/seata-saga-statelang`,
//! `DesignerJsonTransformer.java`): nodes are states, edges say what follows; a Catch belongs to the task that it touches.
//! Styles, sizes and colours of either version of the designer mean nothing, but for where a Catch is.

use serde_json::{Map, Value};

use super::attributes::{Object, Refusal};
use super::place::Path;
use super::{Fault, STATES_MAX};

pub(super) fn is_drawn(root: &Value) -> bool {
    root.get("nodes").is_some() && root.get("edges").is_some()
}

/// A machine's text as plain JSON, and whether it is a drawing.
pub(crate) fn as_plain(text: &str) -> Option<(Value, bool)> {
    let root: Value = serde_json::from_str(text).ok()?;
    match is_drawn(&root) {
        true => Some((plain(&root).ok()?, true)),
        false => Some((root, false)),
    }
}

pub(super) fn plain(root: &Value) -> Result<Value, Refusal> {
    let root = Object::of(root, Path::root())?;
    let nodes = objects(&root, "nodes")?;
    // A Catch is a node, too, and a Start.
    if nodes.len() > 2 * STATES_MAX {
        return Err((root.path, Fault::TooManyStates(nodes.len())));
    }
    let mut machine = Map::new();
    let mut states = Map::new();
    for node in &nodes {
        add_node(node, &mut machine, &mut states)?;
    }
    let edges = objects(&root, "edges")?;
    if edges.len() > 4 * STATES_MAX {
        return Err(drawing(
            &root,
            format!("{} edges are too many", edges.len()),
        ));
    }
    for edge in edges {
        add_edge(&edge, &nodes, &mut machine, &mut states)?;
    }
    machine.insert("States".into(), Value::Object(states));
    Ok(Value::Object(machine))
}

fn objects<'a>(root: &Object<'a>, key: &str) -> Result<Vec<Object<'a>>, Refusal> {
    let Some((list, path)) = root.list(key)? else {
        return Ok(Vec::new());
    };
    list.iter()
        .enumerate()
        .map(|(index, value)| Object::of(value, path.index(index)))
        .collect()
}

fn drawing(object: &Object<'_>, why: impl Into<String>) -> Refusal {
    (object.path.clone(), Fault::Designer(why.into()))
}

fn add_node(
    node: &Object<'_>,
    machine: &mut Map<String, Value>,
    states: &mut Map<String, Value>,
) -> Result<(), Refusal> {
    let properties = node.object("stateProps")?;
    let kind = node.text("stateType")?.unwrap_or_default();
    match kind {
        "Start" => {
            if let Some(of_machine) = properties
                .map(|properties| properties.object("StateMachine"))
                .transpose()?
                .flatten()
            {
                machine.extend(of_machine.map.clone());
            }
        }
        "Catch" => {}
        _ => {
            let name = node.must_name("stateId")?;
            let mut state = Map::new();
            if let Some(label) = node.text("label")?.filter(|label| !label.is_empty()) {
                state.insert("Comment".into(), label.into());
            }
            if let Some(properties) = properties {
                state.extend(properties.map.clone());
            }
            let kind = if kind == "Compensation" {
                "ServiceTask"
            } else {
                kind
            };
            state.insert("Type".into(), kind.into());
            if states.insert(name.into(), Value::Object(state)).is_some() {
                return Err(drawing(node, format!("two nodes are called `{name}`")));
            }
        }
    }
    Ok(())
}

fn add_edge(
    edge: &Object<'_>,
    nodes: &[Object<'_>],
    machine: &mut Map<String, Value>,
    states: &mut Map<String, Value>,
) -> Result<(), Refusal> {
    let node = |key: &str| -> Result<Option<&Object<'_>>, Refusal> {
        let Some(id) = edge.name(key)? else {
            return Ok(None);
        };
        // Of several nodes with one id the last one counts.
        Ok(nodes
            .iter()
            .rev()
            .find(|node| node.get("id").and_then(Value::as_str) == Some(id)))
    };
    let Some(source) = node("source")? else {
        return Ok(());
    };
    let Some(target) = node("target")? else {
        return Err(drawing(edge, "the edge leads nowhere"));
    };
    let next = Value::from(target.must_name("stateId")?);
    let properties = edge.object("stateProps")?;
    let kind = source.text("stateType")?.unwrap_or_default();
    if kind == "Start" {
        machine.insert("StartState".into(), next);
        return Ok(());
    }
    let owner = match kind {
        "Catch" => touched(source, nodes)?,
        _ => source,
    };
    let Some(Value::Object(state)) = states.get_mut(owner.must_name("stateId")?) else {
        return Err(drawing(edge, "the edge comes from no state"));
    };
    match kind {
        "ServiceTask" | "SubStateMachine"
            if target.get("stateType").and_then(Value::as_str) == Some("Compensation") =>
        {
            state.insert("CompensateState".into(), next);
        }
        "Catch" => {
            let catches = list_of(state, "Catch");
            if let (Some(properties), Some(catches)) = (properties, catches) {
                let mut catch = Map::new();
                if let Some(exceptions) = properties.get("Exceptions") {
                    catch.insert("Exceptions".into(), exceptions.clone());
                }
                catch.insert("Next".into(), next);
                catches.push(Value::Object(catch));
            }
        }
        "Choice" => {
            list_of(state, "Choices");
            let Some(properties) = properties else {
                return Ok(());
            };
            if properties.get("Default") == Some(&Value::Bool(true)) {
                state.insert("Default".into(), next);
            } else if let Some(choices) = list_of(state, "Choices") {
                let mut choice = Map::new();
                if let Some(expression) = properties.get("Expression") {
                    choice.insert("Expression".into(), expression.clone());
                }
                choice.insert("Next".into(), next);
                choices.push(Value::Object(choice));
            }
        }
        _ => {
            state.insert("Next".into(), next);
        }
    }
    Ok(())
}

fn list_of<'a>(state: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Vec<Value>> {
    state
        .entry(key)
        .or_insert_with(|| Value::Array(Vec::new()))
        .as_array_mut()
}

/// The task whose borders a Catch overlaps.
fn touched<'a, 'b>(catch: &Object<'b>, nodes: &'a [Object<'b>]) -> Result<&'a Object<'b>, Refusal> {
    let (x, y, width, height) = extent(catch)?;
    for node in nodes {
        if !matches!(node.text("stateType")?, Some("ServiceTask" | "ScriptTask")) {
            continue;
        }
        let (other_x, other_y, other_width, other_height) = extent(node)?;
        if (x - other_x).abs() < (width + other_width) / 2.0
            && (y - other_y).abs() < (height + other_height) / 2.0
        {
            return Ok(node);
        }
    }
    Err(drawing(
        catch,
        "the Catch touches neither a ServiceTask nor a ScriptTask",
    ))
}

/// Centre, width and height; the size is written as `110*48`.
fn extent(node: &Object<'_>) -> Result<(f64, f64, f64, f64), Refusal> {
    let place = |key: &'static str| {
        node.get(key)
            .and_then(Value::as_f64)
            .ok_or_else(|| (node.path.clone(), Fault::Missing(key)))
    };
    let size = node.must_name("size")?;
    let (width, height) = size
        .split_once('*')
        .and_then(|(width, height)| Some((width.trim().parse().ok()?, height.trim().parse().ok()?)))
        .ok_or_else(|| {
            let value = size.into();
            let expected = "a size such as `110*48`";
            (node.path.key("size"), Fault::Value { value, expected })
        })?;
    Ok((place("x")?, place("y")?, width, height))
}
