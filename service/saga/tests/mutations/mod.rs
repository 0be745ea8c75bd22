//! Every machine that is one mistake away from another one.
#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// A mistake, and the machines with it; the first one is the one that starts.
pub struct Mutant {
    pub what: String,
    pub machines: Vec<Value>,
}

/// All of them, each once.
pub fn mutants(machines: &[Value]) -> Vec<Mutant> {
    let mut seen = BTreeSet::from([text(machines)]);
    let mut all = Vec::new();
    for index in 0..machines.len() {
        let name = machines[index]["Name"].as_str().unwrap().to_owned();
        for (what, machine) in of_machine(&machines[index]) {
            let mut mutated = machines.to_vec();
            mutated[index] = machine;
            if seen.insert(text(&mutated)) {
                all.push(Mutant {
                    what: format!("{name}: {what}"),
                    machines: mutated,
                });
            }
        }
    }
    all
}

fn text(machines: &[Value]) -> String {
    machines.iter().map(Value::to_string).collect()
}

type Made = Vec<(String, Value)>;

fn of_machine(machine: &Value) -> Made {
    let mut made = Made::new();
    let states = machine["States"].as_object().unwrap();
    let names: Vec<&String> = states.keys().collect();
    let mut with = |what: String, change: &dyn Fn(&mut Value)| {
        let mut machine = machine.clone();
        change(&mut machine);
        made.push((what, machine));
    };
    for strategy in ["Compensate", "Forward", ""] {
        with(format!("recovers by `{strategy}`"), &|machine| {
            let machine = machine.as_object_mut().unwrap();
            machine.remove("Extensions");
            match strategy {
                "" => machine.remove("RecoverStrategy"),
                _ => machine.insert("RecoverStrategy".into(), strategy.into()),
            };
        });
    }
    for key in ["RecoverStrategy", "StartState"] {
        with(format!("{key} is misspelt"), &|machine| {
            misspell(machine, key)
        });
    }
    for name in &names {
        with(format!("starts at {name}"), &|machine| {
            machine["StartState"] = json!(name)
        });
        with(format!("{name} is not there"), &|machine| {
            machine["States"].as_object_mut().unwrap().remove(*name);
        });
        let state = &states[*name];
        for pointer in references(state) {
            for target in names.iter().map(|name| name.as_str()).chain(["Nowhere"]) {
                with(format!("{name}{pointer} leads to {target}"), &|machine| {
                    *machine["States"][name.as_str()]
                        .pointer_mut(&pointer)
                        .unwrap() = json!(target);
                });
            }
        }
        let mut of_state = |what: String, change: &dyn Fn(&mut Map<String, Value>)| {
            with(format!("{name} {what}"), &|machine| {
                change(machine["States"][name.as_str()].as_object_mut().unwrap());
            });
        };
        for key in state
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "Extensions")
        {
            of_state(format!("is without {key}"), &|state| {
                state.remove(key);
            });
            of_state(format!("has a misspelt {key}"), &|state| {
                misspell_in(state, key)
            });
        }
        if state["Type"] == "ServiceTask" {
            of_state("is called on and on".into(), &|state| {
                let retry = json!([{"Exceptions": ["java.lang.Throwable"], "IntervalSeconds": 1, "MaxAttempts": 1_000_000, "BackoffRate": 1}]);
                state.insert("Retry".into(), retry);
            });
            of_state("is not waited for".into(), &|state| {
                state.insert("IsAsync".into(), json!(true));
            });
            of_state("changes nothing".into(), &|state| {
                state.insert("IsForUpdate".into(), json!(false));
                state.remove("CompensateState");
            });
            for target in &names {
                for class in ["java.lang.Throwable", "com.bank.Refused"] {
                    of_state(format!("catches {class} and goes to {target}"), &|state| {
                        let catch = json!([{"Exceptions": [class], "Next": target}]);
                        state.insert("Catch".into(), catch);
                    });
                }
            }
        }
        for rule in state["Status"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(rule, _)| rule)
        {
            for status in ["SU", "FA", "UN"] {
                of_state(format!("takes {rule} for {status}"), &|state| {
                    state["Status"][rule] = json!(status)
                });
            }
            of_state(format!("does not know {rule}"), &|state| {
                state["Status"].as_object_mut().unwrap().remove(rule);
            });
        }
        if state.get("Loop").is_some() {
            of_state("loops once".into(), &|state| {
                state["Loop"]["CompletionCondition"] = json!("[nrOfCompletedInstances] >= 1");
            });
        }
        for list in ["Choices", "Branches", "Catch"] {
            for index in 0..state[list].as_array().map_or(0, Vec::len) {
                of_state(format!("is without {list}/{index}"), &|state| {
                    state[list].as_array_mut().unwrap().remove(index);
                });
            }
        }
    }
    let works = names
        .iter()
        .filter(|name| states[name.as_str()].get("Extensions").is_some());
    let works: Vec<&&String> = works.collect();
    for (index, one) in works.iter().enumerate() {
        for other in &works[index + 1..] {
            with(
                format!("{one} does what {other} should, and {other} what {one} should"),
                &|machine| {
                    swap(machine, one, other, &["Next", "Catch"]);
                },
            );
            with(
                format!("{one} calls what {other} should, and {other} what {one} should"),
                &|machine| {
                    swap(machine, one, other, &["Next", "Catch", "CompensateState"]);
                },
            );
        }
    }
    // What undoes a credit, once there is a way to it.
    for name in &works {
        if states[name.as_str()]["ServiceMethod"] == "credit" {
            with(format!("{name} can be taken back"), &|machine| {
                let state = machine["States"][name.as_str()].as_object_mut().unwrap();
                state.insert("CompensateState".into(), json!("TakeBack"));
                let undo = json!({"Type": "ServiceTask", "ServiceName": "bank", "ServiceMethod": "takeBack", "Input": state.get("Input"), "IsForCompensation": true});
                machine["States"]["TakeBack"] = undo;
                let machine = machine.as_object_mut().unwrap();
                machine.remove("RecoverStrategy");
                machine.remove("Extensions");
            });
        }
    }
    made
}

/// Where a state names others.
fn references(state: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for key in ["Next", "Default", "CompensateState", "StateMachineName"] {
        if state.get(key).is_some() {
            found.push(format!("/{key}"));
        }
    }
    for list in ["Choices", "Catch"] {
        for index in 0..state[list].as_array().map_or(0, Vec::len) {
            found.push(format!("/{list}/{index}/Next"));
        }
    }
    for index in 0..state["Branches"].as_array().map_or(0, Vec::len) {
        found.push(format!("/Branches/{index}"));
    }
    found
}

fn misspell(machine: &mut Value, key: &str) {
    misspell_in(machine.as_object_mut().unwrap(), key);
}

fn misspell_in(object: &mut Map<String, Value>, key: &str) {
    if let Some(value) = object.remove(key) {
        object.insert(format!("{key}s"), value);
    }
}

/// Exchanges two states, but for some keys.
fn swap(machine: &mut Value, one: &str, other: &str, but: &[&str]) {
    let (first, second) = (
        machine["States"][one].clone(),
        machine["States"][other].clone(),
    );
    let mixed = |work: &Value, place: &Value| {
        let mut mixed = work.as_object().unwrap().clone();
        for key in but {
            mixed.remove(*key);
            if let Some(value) = place.get(*key) {
                mixed.insert((*key).into(), value.clone());
            }
        }
        Value::Object(mixed)
    };
    machine["States"][one] = mixed(&second, &first);
    machine["States"][other] = mixed(&first, &second);
}
