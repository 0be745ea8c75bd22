//! For a terminal.

use std::fmt::Write as _;

use super::{Drawing, Row, Shape};
use crate::lang::Machine;

/// One line: what it says, and the lane that it leaves for or is reached by.
struct Line {
    text: String,
    lane: Option<usize>,
    is_reached: bool,
}

/// A machine in lines of text.
#[must_use]
pub fn text(machine: &Machine) -> String {
    let drawing = Drawing::of(machine);
    let mut lines: Vec<Line> = Vec::new();
    let mut spans: Vec<Option<(usize, usize)>> = vec![None; drawing.places.len()];
    for row in &drawing.rows {
        add(&mut lines, row);
    }
    for (number, line) in lines.iter().enumerate() {
        if let Some(lane) = line.lane {
            let span = spans[lane].get_or_insert((number, number));
            *span = (span.0.min(number), span.1.max(number));
        }
    }
    let width = lines
        .iter()
        .map(|line| line.text.chars().count())
        .max()
        .unwrap_or(0)
        + 2;
    let places = drawing.places.iter().max().map_or(0, |most| most + 1);
    let mut out = format!("{}\n\n", drawing.title);
    for (number, line) in lines.iter().enumerate() {
        let mut side = vec![' '; places * 2];
        for (lane, span) in spans.iter().enumerate() {
            if span.is_some_and(|(from, to)| from < number && number < to) {
                side[drawing.places[lane] * 2] = '│';
            }
        }
        let filler = if line.lane.is_some() { '─' } else { ' ' };
        if let Some(lane) = line.lane {
            let place = drawing.places[lane] * 2;
            for at in &mut side[..place] {
                *at = if *at == '│' { '┼' } else { '─' };
            }
            side[place] = match spans[lane] {
                Some((from, to)) if from == number && to == number => '─',
                Some((from, _)) if from == number => '┐',
                Some((_, to)) if to == number => '┘',
                _ => '┤',
            };
        }
        let mut text = line.text.clone();
        let missing = width - text.chars().count();
        let head = match (line.lane.is_some(), line.is_reached) {
            (true, true) => " ◄",
            (true, false) => " ─",
            _ => "  ",
        };
        text.push_str(head);
        text.extend(std::iter::repeat_n(filler, missing.saturating_sub(1)));
        text.extend(side);
        let _ = writeln!(out, "{}", text.trim_end());
    }
    out
}

fn add(lines: &mut Vec<Line>, row: &Row) {
    let (open, close) = match row.shape {
        Shape::Task => ("[", "]"),
        Shape::Machine => ("[[", "]]"),
        Shape::Choice => ("<", ">"),
        Shape::Trigger => ("{", "}"),
        Shape::Succeed | Shape::Fail => ("(", ")"),
        Shape::Fork => ("=", "="),
    };
    let mut text = format!("{open}{}{close}", row.name);
    if !row.note.is_empty() {
        let _ = write!(text, "  {}", row.note);
    }
    if let Some(undo) = &row.undo {
        let _ = write!(text, "  ↶ {undo}");
    }
    lines.push(Line {
        text,
        lane: row.lane,
        is_reached: true,
    });
    for (index, (what, lane)) in row.ways.iter().enumerate() {
        let is_last = index + 1 == row.ways.len() && !row.goes_down;
        let corner = if is_last { '└' } else { '├' };
        let what = if what.is_empty() { "next" } else { what };
        lines.push(Line {
            text: format!("  {corner} {what}"),
            lane: Some(*lane),
            is_reached: false,
        });
    }
    let down = if row.goes_down { "  ▼" } else { "" };
    lines.push(Line {
        text: down.into(),
        lane: None,
        is_reached: false,
    });
}
