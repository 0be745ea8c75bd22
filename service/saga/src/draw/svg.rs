//! For a browser: one file that needs no other.

use std::fmt::Write as _;

use super::{Drawing, Row, Shape};
use crate::lang::{Machine, Money};

const BOX_WIDTH: usize = 420;
const BOX_HEIGHT: usize = 44;
const LEFT: usize = 24;
const TOP: usize = 64;
/// A line of a way out of a box.
const WAY_HEIGHT: usize = 18;
const GAP: usize = 34;
const LANE_WIDTH: usize = 16;

/// A machine as a picture.
#[must_use]
pub fn svg(machine: &Machine) -> String {
    let drawing = Drawing::of(machine);
    let mut tops = Vec::new();
    let mut y = TOP;
    for row in &drawing.rows {
        tops.push(y);
        y += BOX_HEIGHT + row.ways.len() * WAY_HEIGHT + GAP;
    }
    let right = LEFT + BOX_WIDTH;
    let lanes = drawing.places.iter().max().map_or(0, |most| most + 1);
    let width = right + 24 + (lanes + 1) * LANE_WIDTH;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{y}\" viewBox=\"0 0 {width} {y}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <defs><marker id=\"to\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#555\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"32\" font-weight=\"bold\">{}</text>\n",
        escaped(&drawing.title)
    );
    let target = |lane: usize| drawing.rows.iter().position(|row| row.lane == Some(lane));
    for (row, top) in drawing.rows.iter().zip(&tops) {
        state(&mut out, row, *top);
        let bottom = top + BOX_HEIGHT;
        let end = bottom + row.ways.len() * WAY_HEIGHT + GAP;
        let middle = LEFT + 20;
        if row.goes_down {
            line(&mut out, &format!("M{middle} {bottom}V{}", end - 2));
        }
        for (index, (what, lane)) in row.ways.iter().enumerate() {
            let y = bottom + (index + 1) * WAY_HEIGHT;
            let what = if what.is_empty() { "next" } else { what };
            let _ = writeln!(
                out,
                "<text x=\"{}\" y=\"{}\" fill=\"#555\" font-size=\"12\">{}</text>",
                middle + 26,
                y - 4,
                escaped(&short(what, 58))
            );
            let x = right + 24 + drawing.places[*lane] * LANE_WIDTH;
            if let Some(target) = target(*lane) {
                let to = tops[target] + BOX_HEIGHT / 2;
                line(
                    &mut out,
                    &format!("M{middle} {bottom}V{y}H{x}V{to}H{}", right + 2),
                );
            }
        }
    }
    out.push_str("</svg>\n");
    out
}

fn line(out: &mut String, path: &str) {
    let _ = writeln!(
        out,
        "<path d=\"{path}\" fill=\"none\" stroke=\"#555\" stroke-linejoin=\"round\" marker-end=\"url(#to)\"/>"
    );
}

fn state(out: &mut String, row: &Row, top: usize) {
    let fill = match (row.shape, row.money) {
        (_, Some(Money::Debit)) => "#fde2c8",
        (_, Some(Money::Credit)) => "#d3ecd3",
        (Shape::Succeed, _) => "#e6f4e6",
        (Shape::Fail | Shape::Trigger, _) => "#f8dcdc",
        (Shape::Choice | Shape::Fork, _) => "#e8e8f6",
        _ => "#f2f2f2",
    };
    let round = match row.shape {
        Shape::Succeed | Shape::Fail => BOX_HEIGHT / 2,
        Shape::Task | Shape::Machine => 4,
        Shape::Choice | Shape::Trigger | Shape::Fork => 14,
    };
    let stroke = if row.shape == Shape::Machine { 3 } else { 1 };
    let _ = writeln!(
        out,
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"{round}\" fill=\"{fill}\" \
         stroke=\"#555\" stroke-width=\"{stroke}\"/>"
    );
    let undo = row
        .undo
        .as_ref()
        .map(|undo| format!("  ↶ {undo}"))
        .unwrap_or_default();
    let x = LEFT + 16;
    let _ = writeln!(
        out,
        "<text x=\"{x}\" y=\"{}\"><tspan font-weight=\"bold\">{}</tspan><tspan fill=\"#a33\">{}</tspan></text>",
        top + 18,
        escaped(&short(&row.name, 40)),
        escaped(&short(&undo, 24))
    );
    let _ = writeln!(
        out,
        "<text x=\"{x}\" y=\"{}\" font-size=\"12\" fill=\"#333\">{}</text>",
        top + 36,
        escaped(&short(&row.note, 62))
    );
}

fn short(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // XML has no other control characters.
            sign if sign.is_control() => out.push(' '),
            sign => out.push(sign),
        }
    }
    out
}
