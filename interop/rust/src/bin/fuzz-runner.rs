//! Runs the fuzz targets without a fuzzer: damaged golden frames from a seed, on stable Rust.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use clap::Parser;
use diwan_bolt::{Decoded, decode};
use diwan_hessian::testing::{Random, mutate};

/// A function that takes any bytes, and what it is to be fed with.
struct Target {
    name: &'static str,
    run: fn(&[u8]),
    feed: Feed,
}

#[derive(Clone, Copy, PartialEq)]
enum Feed {
    Frames,
    Contents,
    /// Files of the write-ahead log, and descriptions of some.
    Segments,
    /// Recorded messages between members of a JRaft group.
    Raft,
    /// Batches of such messages.
    Batch,
    /// What members may say to one.
    Member,
    /// What is said first on a connection between nodes.
    Hello,
    /// What clients and servers of a registry say.
    Registry,
    /// What other nodes of a registry say to one.
    Nodes,
    /// A registry's journal on disk.
    Journal,
    /// What clients and servers of ZooKeeper say.
    ZooKeeper,
    /// What Seata's clients and coordinators say.
    Seata,
    /// Sagas' machines, and expressions.
    Machines,
    /// Blocks of logs in engines, and the records beside them.
    Blocks,
}

const TARGETS: [Target; 16] = [
    Target {
        name: "frames",
        run: diwan_bolt::fuzz::fuzz_frames,
        feed: Feed::Frames,
    },
    Target {
        name: "messages",
        run: diwan_sofarpc::fuzz::fuzz_messages,
        feed: Feed::Frames,
    },
    Target {
        name: "draft",
        run: diwan_hessian::testing::fuzz_draft,
        feed: Feed::Contents,
    },
    Target {
        name: "final",
        run: diwan_hessian::testing::fuzz_final,
        feed: Feed::Contents,
    },
    Target {
        name: "segments",
        run: diwan_wal::fuzz::fuzz_segments,
        feed: Feed::Segments,
    },
    Target {
        name: "raft",
        run: diwan_replica::fuzz::fuzz_messages,
        feed: Feed::Raft,
    },
    Target {
        name: "batch",
        run: diwan_replica::fuzz::fuzz_batch,
        feed: Feed::Batch,
    },
    Target {
        name: "member",
        run: diwan_raft::fuzz::fuzz_member,
        feed: Feed::Member,
    },
    Target {
        name: "hello",
        run: diwan_replica::fuzz::fuzz_hello,
        feed: Feed::Hello,
    },
    Target {
        name: "registry",
        run: diwan_registry_wire::fuzz::fuzz_messages,
        feed: Feed::Registry,
    },
    Target {
        name: "nodes",
        run: diwan_registry::fuzz::fuzz_nodes,
        feed: Feed::Nodes,
    },
    Target {
        name: "journal",
        run: diwan_registry::fuzz::fuzz_journal,
        feed: Feed::Journal,
    },
    Target {
        name: "zookeeper",
        run: diwan_zookeeper::fuzz::fuzz_packets,
        feed: Feed::ZooKeeper,
    },
    Target {
        name: "seata",
        run: diwan_seata::fuzz::fuzz_frames,
        feed: Feed::Seata,
    },
    Target {
        name: "machines",
        run: diwan_saga::fuzz::fuzz_machines,
        feed: Feed::Machines,
    },
    Target {
        name: "blocks",
        run: diwan_engine::fuzz::fuzz_blocks,
        feed: Feed::Blocks,
    },
];

/// One frame a line.
const RAFT_FRAMES: &str = include_str!("../../../../wire/jraft/tests/frames.txt");
/// The same, behind three words: in Seata's own serializer, in others, and compressed.
const SEATA_FRAMES: [&str; 9] = [
    include_str!("../../../../wire/seata/tests/frames/conversation.hex"),
    include_str!("../../../../wire/seata/tests/frames/hessian/seata-2.6.0.hex"),
    include_str!("../../../../wire/seata/tests/frames/hessian/seata-2.0.0.hex"),
    include_str!("../../../../wire/seata/tests/frames/protobuf/seata-2.0.0.hex"),
    include_str!("../../../../wire/seata/tests/frames/gzip/seata-2.6.0.hex"),
    include_str!("../../../../wire/seata/tests/frames/deflater/seata-2.6.0.hex"),
    include_str!("../../../../wire/seata/tests/frames/lz4/seata-2.6.0.hex"),
    include_str!("../../../../wire/seata/tests/frames/lz4/seata-2.0.0.hex"),
    include_str!("../../../../wire/seata/tests/frames/zstd/seata-2.6.0.hex"),
];

/// The seed of the first half of each target's time; the other half has a fresh one.
const FIXED_SEED: u64 = 7;
const FRAME_BYTES_MAX: usize = 1 << 20;

/// Feeds every target with damaged frames. A panic prints the seed and the number of the input, which make it again.
#[derive(Parser)]
struct Arguments {
    /// A folder of recorded frames, `PAIR/CASE.hex`.
    frames: PathBuf,
    /// How long each target runs.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Only this target.
    #[arg(long)]
    target: Option<String>,
    /// Only this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this input of the seed.
    #[arg(long)]
    input: Option<u64>,
    /// Writes the corpus for cargo-fuzz below this folder, one file for each input, and runs nothing.
    #[arg(long)]
    corpus: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let frames = match read_frames(&arguments.frames) {
        Ok(frames) if !frames.is_empty() => frames,
        Ok(_) => return fail(&format!("no frames in {}", arguments.frames.display())),
        Err(error) => return fail(&format!("{}: {error}", arguments.frames.display())),
    };
    if let Some(folder) = &arguments.corpus {
        return match write_corpus(folder, &frames) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("{}: {error}", folder.display())),
        };
    }
    let fresh = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |since| since.as_nanos() as u64);
    let seeds = match arguments.seed {
        Some(seed) => vec![seed],
        None => vec![FIXED_SEED, fresh],
    };
    let wanted = |target: &&Target| {
        let only = arguments.target.as_deref();
        only.is_none_or(|name| name == target.name)
    };
    for target in TARGETS.iter().filter(wanted) {
        let corpus = corpus(target.feed, &frames);
        for &seed in &seeds {
            let share = Duration::from_secs(arguments.seconds) / seeds.len() as u32;
            match run(target, &corpus, seed, arguments.input, share) {
                Ok(count) => println!("{}: {count} inputs of seed {seed}", target.name),
                Err((number, input)) => {
                    let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
                    let name = target.name;
                    return fail(&format!(
                        "{name}: input {number} of seed {seed} panics: \
                         --target {name} --seed {seed} --input {number}\n{hex}"
                    ));
                }
            }
        }
    }
    ExitCode::SUCCESS
}

fn fail(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::FAILURE
}

/// How many inputs the target has borne, or which one it did not.
fn run(
    target: &Target,
    corpus: &[Vec<u8>],
    seed: u64,
    only: Option<u64>,
    time: Duration,
) -> Result<u64, (u64, Vec<u8>)> {
    let began = Instant::now();
    let mut number = only.unwrap_or_default();
    loop {
        let input = input(corpus, seed, number);
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            return Err((number, input));
        }
        number += 1;
        if only.is_some() || began.elapsed() > time {
            return Ok(number);
        }
    }
}

/// The first inputs are the corpus itself, the others are made of it: each depends on its number alone.
fn input(corpus: &[Vec<u8>], seed: u64, number: u64) -> Vec<u8> {
    let whole = usize::try_from(number).ok().and_then(|at| corpus.get(at));
    if let Some(whole) = whole {
        return whole.clone();
    }
    let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9).wrapping_add(number << 20));
    let mut bytes = corpus[random.below(corpus.len())].clone();
    mutate(&mut bytes, &mut random);
    bytes
}

fn corpus(feed: Feed, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    match feed {
        Feed::Frames => return frames.to_vec(),
        Feed::Segments => return diwan_wal::fuzz::seeds(),
        Feed::Member => return diwan_raft::fuzz::seeds(),
        Feed::Hello => return diwan_replica::fuzz::hello_seeds(),
        Feed::Registry => return diwan_registry_wire::fuzz::seeds(),
        Feed::Nodes => return diwan_registry::fuzz::nodes_seeds(),
        Feed::Journal => return diwan_registry::fuzz::journal_seeds(),
        Feed::ZooKeeper => return diwan_zookeeper::fuzz::seeds(),
        Feed::Seata => return seata_frames(),
        Feed::Machines => return diwan_saga::fuzz::seeds(),
        Feed::Blocks => return diwan_engine::fuzz::seeds(),
        Feed::Raft => return raft_messages(),
        Feed::Batch => return diwan_replica::fuzz::batch_seeds(&raft_messages()),
        Feed::Contents => {}
    }
    let content = |frame: &Vec<u8>| match decode(frame, FRAME_BYTES_MAX) {
        Ok(Decoded::Frame { frame, .. }) => Some(frame.content.to_vec()),
        _ => None,
    };
    frames.iter().filter_map(content).collect()
}

fn raft_messages() -> Vec<Vec<u8>> {
    let lines = RAFT_FRAMES.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(raft_message).collect()
}

/// Every frame of a conversation: the last word of each line.
fn seata_frames() -> Vec<Vec<u8>> {
    let lines = SEATA_FRAMES.iter().flat_map(|file| file.lines());
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| from_hex(line.split(' ').nth(3)?))
        .collect()
}

/// Class and content of a frame, with a zero between them.
fn raft_message(line: &str) -> Option<Vec<u8>> {
    let bytes = from_hex(line)?;
    match decode(&bytes, FRAME_BYTES_MAX) {
        Ok(Decoded::Frame { frame, .. }) => Some([frame.class, b"\0", frame.content].concat()),
        _ => None,
    }
}

fn write_corpus(folder: &Path, frames: &[Vec<u8>]) -> io::Result<()> {
    for target in &TARGETS {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder)?;
        for (number, input) in corpus(target.feed, frames).iter().enumerate() {
            fs::write(folder.join(format!("golden-{number}")), input)?;
        }
    }
    Ok(())
}

/// The frames of every file, in an order that is the same everywhere.
fn read_frames(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut files = Vec::new();
    for pair in fs::read_dir(folder)? {
        for file in fs::read_dir(pair?.path())? {
            files.push(file?.path());
        }
    }
    files.sort();
    let mut frames = Vec::new();
    for file in files {
        let text = fs::read_to_string(file)?;
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("> ").or_else(|| line.strip_prefix("< ")));
        frames.extend(lines.filter_map(from_hex));
    }
    Ok(frames)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}
