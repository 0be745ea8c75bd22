//! `diwan saga check`.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use diwan_saga::check::{Finding, Severity, Source, check};
use serde_json::{Value, json};

pub(super) const HELP: &str = "\
Each finding says where, which rule it is against, and the way on which it happens:

  transfer.json:13:14: /States/Debit: error[debit-lost]: the machine ends, and `Debit` may have taken money that is
  neither paid out nor given back
      Debit > Credit refuses > Failed

A machine moves money if a state says so: \"Extensions\": {\"effect\": \"debit\", \"account\": \"$.[from]\", \"amount\": \"$.[amount]\"}.
For others `uncompensated`, `status`, `retry` and `unknown-key` are warnings, or errors with --strict.
Give the machines that a machine starts along with it.

Examples:
  diwan saga check transfer.json
  diwan saga check machines/*.json --strict
  diwan saga check machines/*.json --json | jq -r '.findings[] | [.rule, .machine, .message] | @tsv'

Exit codes: 0 accepted, 1 refused, 2 command line or a file that cannot be read.";

#[derive(Args)]
pub(crate) struct CheckArguments {
    /// Machines in Seata's JSON, plain or a designer's
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Be as strict with machines that move no money
    #[arg(long)]
    strict: bool,
    /// Print findings for programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &CheckArguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut texts = Vec::new();
    for file in &arguments.files {
        match super::read(file) {
            Ok(text) => texts.push(text),
            Err(error) => {
                eprintln!("error: {error}");
                return Ok(ExitCode::from(2));
            }
        }
    }
    let files = arguments.files.iter().zip(&texts);
    let sources: Vec<Source<'_>> = files.map(|(file, text)| Source { file, text }).collect();
    let findings = check(&sources, arguments.strict);
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&report(&findings))?),
        false => print!("{}", text(&findings, sources.len())),
    }
    Ok(match count(&findings, Severity::Error) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    findings
        .iter()
        .filter(|finding| finding.severity == severity)
        .count()
}

fn report(findings: &[Finding]) -> Value {
    let one = |finding: &Finding| {
        json!({
            "severity": finding.severity,
            "rule": finding.rule,
            "machine": finding.machine,
            "file": finding.place.file,
            "line": finding.place.line.map(|(line, _)| line),
            "column": finding.place.line.map(|(_, column)| column),
            "at": finding.place.path.to_string(),
            "message": finding.message,
            "path": finding.path,
        })
    };
    json!({
        "errors": count(findings, Severity::Error),
        "warnings": count(findings, Severity::Warning),
        "findings": findings.iter().map(one).collect::<Vec<Value>>(),
    })
}

fn text(findings: &[Finding], files: usize) -> String {
    let mut out = String::new();
    for finding in findings {
        let _ = writeln!(out, "{finding}");
    }
    let many = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let errors = many(count(findings, Severity::Error), "error");
    let warnings = many(count(findings, Severity::Warning), "warning");
    let _ = writeln!(out, "{}: {errors}, {warnings}", many(files, "file"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSES: &str = r#"{"Name": "m", "StartState": "Debit", "RecoverStrategy": "Forward", "States": {
        "Debit": {"Type": "ServiceTask", "ServiceName": "bank", "ServiceMethod": "debit", "IsForUpdate": true,
            "Extensions": {"effect": "debit"}, "Next": "Succeed"},
        "Succeed": {"Type": "Succeed"}}}"#;

    #[test]
    fn findings_for_people_and_for_programs() {
        let findings = check(
            &[Source {
                file: "m.json",
                text: LOSES,
            }],
            false,
        );
        assert_eq!(
            text(&findings, 1),
            "m.json:2:18: /States/Debit: error[debit-lost]: the machine ends, and `Debit` may have taken money that is \
             neither paid out nor given back\n    Debit > Succeed\n1 file: 1 error, 0 warnings\n"
        );
        let report = report(&findings);
        assert_eq!(report["errors"], 1);
        let one = &report["findings"][0];
        assert_eq!(
            (&one["rule"], &one["line"]),
            (&json!("debit-lost"), &json!(2))
        );
        assert_eq!(one["path"], json!(["Debit", "Succeed"]));
    }
}
