//! What an engine must do, as a test of one: [`check`] runs every promise of the requests against it and panics, naming the
//! promise, where it is broken. For real engines and for models of them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;

use crate::{Failure, Head, Reply, Request, Seen, VALUE_BYTES_MAX};

/// Checks the engine that `ask` asks. Each promise is checked on a log of its own, whose name begins with `prefix`; none of
/// them may have been used before, and `ask` opens them.
/// # Panics
/// If the engine breaks a promise, or cannot be reached.
pub async fn check<A, R>(prefix: &str, ask: A)
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Result<Reply, Failure>>,
{
    let log = |name: &str| Log {
        name: format!("{prefix}-{name}"),
        ask: &ask,
    };
    new_log(&log("new")).await;
    appends(&log("append"), &log("other")).await;
    takes(&log("take")).await;
    takes_that_meet(&log("meet")).await;
    beats(&log("beat")).await;
    resigns(&log("resign")).await;
    stale_owner(&log("stale")).await;
    reads(&log("read")).await;
    largest_values(&log("large")).await;
    pieces(&log("pieces"), &log("others-pieces")).await;
    seals(&log("seal")).await;
    cleans(&log("clean")).await;
    extremes(&log("extremes")).await;
}

/// One log of the engine.
struct Log<'a, A> {
    name: String,
    ask: &'a A,
}

impl<A, R> Log<'_, A>
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Result<Reply, Failure>>,
{
    async fn ask(&self, request: Request) -> Reply {
        let shown = format!("{request:?}");
        let shown: String = shown.chars().take(200).collect();
        match (self.ask)(self.name.clone(), request).await {
            Ok(reply) => reply,
            Err(failure) => panic!("{}: {shown}: {failure}", self.name),
        }
    }

    async fn look(&self) -> Head {
        match self.ask(Request::Look).await {
            Reply::Head(head) => head,
            other => panic!("Look: {other:?}"),
        }
    }

    async fn take(&self, seen: Seen, owner: &str) -> Option<u64> {
        let owner = owner.to_owned();
        match self.ask(Request::Take { seen, owner }).await {
            Reply::Taken { term } => Some(term),
            Reply::Refused => None,
            other => panic!("Take: {other:?}"),
        }
    }

    /// Takes the log as it stands.
    async fn owned(&self, owner: &str) -> u64 {
        let seen = self.look().await.seen;
        let term = self.take(seen, owner).await;
        term.unwrap_or_else(|| panic!("{}: nobody else takes it", self.name))
    }

    /// Whether it was carried out.
    async fn done(&self, request: Request) -> bool {
        match self.ask(request).await {
            Reply::Done => true,
            Reply::Refused => false,
            other => panic!("neither done nor refused: {other:?}"),
        }
    }

    async fn append(&self, term: u64, number: u64, block: &[u8]) -> bool {
        self.done(append(term, number, block)).await
    }

    async fn read(&self, from: u64, bytes_max: usize) -> Vec<Bytes> {
        match self.ask(Request::Read { from, bytes_max }).await {
            Reply::Blocks(blocks) => blocks,
            other => panic!("Read: {other:?}"),
        }
    }

    async fn piece(&self, snapshot: u64, piece: u32) -> Option<Bytes> {
        match self.ask(Request::GetPiece { snapshot, piece }).await {
            Reply::Piece(piece) => piece,
            other => panic!("GetPiece: {other:?}"),
        }
    }

    /// Cleans until nothing is left, and returns how many requests it took; None if one is refused.
    async fn clean(&self, term: u64, keep: u64, below: u64) -> Option<usize> {
        for requests in 1..1000 {
            match self.ask(Request::Clean { term, keep, below }).await {
                Reply::Cleaned { more: false } => return Some(requests),
                Reply::Cleaned { more: true } => {}
                Reply::Refused => return None,
                other => panic!("Clean: {other:?}"),
            }
        }
        panic!("Clean says forever that there is more");
    }
}

fn append(term: u64, number: u64, block: &[u8]) -> Request {
    let block = Bytes::copy_from_slice(block);
    Request::Append {
        term,
        number,
        block,
    }
}

fn put(term: u64, snapshot: u64, piece: u32, data: &[u8]) -> Request {
    let data = Bytes::copy_from_slice(data);
    Request::PutPiece {
        term,
        snapshot,
        piece,
        data,
    }
}

fn seal(term: u64, over: Option<&str>, snapshot: &str) -> Request {
    let (over, snapshot) = (over.map(str::to_owned), snapshot.to_owned());
    Request::Seal {
        term,
        over,
        snapshot,
    }
}

/// Both at the same time.
async fn together<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> (T, T) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        if first.is_none()
            && let Poll::Ready(value) = one.as_mut().poll(context)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = other.as_mut().poll(context)
        {
            second = Some(value);
        }
        match (first.take(), second.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}

type Asked<R> = Result<R, Failure>;

async fn new_log<A, R>(log: &Log<'_, A>)
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Asked<Reply>>,
{
    let head = log.look().await;
    assert_eq!(head.owner, None, "nobody owns a new log");
    assert_eq!(head.snapshot, None, "a new log has no snapshot");
    assert_eq!(head.seen.next, 0, "a new log's first block is 0");
    assert_eq!(head, log.look().await, "looking changes nothing");
    assert!(log.read(0, 1 << 20).await.is_empty(), "nor has it blocks");
    assert_eq!(log.piece(0, 0).await, None, "nor pieces");
    assert!(
        !log.append(head.seen.term, 0, b"x").await,
        "who owns it not appends nothing"
    );
    assert_eq!(head, log.look().await, "what is refused changes nothing");
}

async fn appends<A, R>(log: &Log<'_, A>, other: &Log<'_, A>)
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Asked<Reply>>,
{
    let term = log.owned("a").await;
    let before = log.look().await;
    assert!(
        !log.append(term, 1, b"one").await,
        "not the next block's number"
    );
    assert!(
        !log.append(term + 1, 0, b"zero").await,
        "a term that is not yet"
    );
    assert!(
        !log.append(term - 1, 0, b"zero").await,
        "a term that is no more"
    );
    assert_eq!(before, log.look().await, "what is refused changes nothing");
    assert!(log.append(term, 0, b"zero").await);
    assert_eq!(log.look().await.seen.next, 1);
    assert!(
        !log.append(term, 0, b"zero").await,
        "a block is appended once"
    );
    assert!(
        !log.append(term, 0, b"another").await,
        "nor is it written over"
    );
    assert!(!log.append(term, 2, b"two").await, "a number ahead");
    assert!(log.append(term, 1, b"").await, "a block may be empty");
    assert!(
        log.append(term, 2, &[0, 255, b'\'', b'\\']).await,
        "any bytes"
    );
    assert_eq!(
        log.read(0, 1 << 20).await,
        [&b"zero"[..], b"", &[0, 255, b'\'', b'\\']]
    );
    let head = log.look().await;
    assert_eq!((head.seen.next, head.owner.as_deref()), (3, Some("a")));
    assert_eq!(head.seen.term, term, "Look tells the owner's term");

    let (first, second) = together(
        log.append(term, 3, b"first"),
        log.append(term, 3, b"second"),
    )
    .await;
    assert!(
        first != second,
        "of two blocks of one number one is appended"
    );
    let block: &[u8] = if first { b"first" } else { b"second" };
    assert_eq!(log.read(3, 1 << 20).await, [block]);

    assert_eq!(
        other.look().await.seen.next,
        0,
        "another log stands where it stood"
    );
    assert!(
        !other.append(term, 0, b"zero").await,
        "a term is of one log"
    );
    assert!(other.read(0, 1 << 20).await.is_empty());
}

async fn takes<A, R>(log: &Log<'_, A>)
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Asked<Reply>>,
{
    let new = log.look().await.seen;
    for wrong in [
        Seen {
            term: new.term + 1,
            ..new
        },
        Seen {
            beat: new.beat + 1,
            ..new
        },
        Seen {
            next: new.next + 1,
            ..new
        },
        Seen {
            term: u64::MAX,
            ..new
        },
        Seen {
            beat: u64::MAX,
            ..new
        },
        Seen {
            next: u64::MAX,
            ..new
        },
    ] {
        assert_eq!(
            log.take(wrong, "x").await,
            None,
            "it was never seen as {wrong:?}"
        );
    }
    assert_eq!(log.look().await.owner, None);

    let first = log.take(new, "a").await.expect("it stands as it was seen");
    let head = log.look().await;
    assert_eq!((head.seen.term, head.owner.as_deref()), (first, Some("a")));
    assert_ne!(head.seen.beat, new.beat, "a take changes the beat");
    assert_eq!(log.take(new, "b").await, None, "somebody took it meanwhile");
    assert_eq!(log.take(new, "a").await, None, "be it the same owner");

    assert!(log.append(first, 0, b"zero").await);
    assert_eq!(
        log.take(head.seen, "b").await,
        None,
        "a block was appended meanwhile"
    );
    let seen = log.look().await.seen;
    let second = log
        .take(seen, "b")
        .await
        .expect("an owner that stands still is replaced");
    assert!(second > first, "terms grow");
    assert!(
        !log.append(first, 1, b"one").await,
        "the first owner appends nothing from then on"
    );
    assert!(log.append(second, 1, b"one").await);
    let seen = log.look().await.seen;
    let third = log.take(seen, "b").await.expect("an owner may take again");
    assert!(third > second, "and has another term then");
    assert!(!log.append(second, 2, b"two").await);
    assert_eq!(log.look().await.seen.next, 2, "a take keeps the blocks");
}

async fn takes_that_meet<A, R>(log: &Log<'_, A>)
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Asked<Reply>>,
{
    for _ in 0..10 {
        let seen = log.look().await.seen;
        let terms = together(log.take(seen, "a"), log.take(seen, "b")).await;
        let (term, owner) = match terms {
            (Some(term), None) => (term, "a"),
            (None, Some(term)) => (term, "b"),
            other => panic!("one of two takes succeeds: {other:?}"),
        };
        let head = log.look().await;
        assert_eq!((head.seen.term, head.owner.as_deref()), (term, Some(owner)));
    }
    // An append and a take that meet: whatever comes first, nothing is lost and nobody appends after the take.
    for _ in 0..10 {
        let head = log.look().await;
        let (term, next) = (head.seen.term, head.seen.next);
        let taken = RefCell::new(None);
        let take = async {
            *taken.borrow_mut() = log.take(head.seen, "c").await;
            true
        };
        let (appended, _) = together(log.append(term, next, b"x"), take).await;
        let now = log.look().await;
        assert_eq!(now.seen.next, next + u64::from(appended));
        assert_eq!(appended, taken.borrow().is_none(), "one of them is refused");
    }
}

async fn beats<A, R>(log: &Log<'_, A>)
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Asked<Reply>>,
{
    let seen = log.look().await.seen;
    assert!(
        !log.done(Request::Beat { term: seen.term }).await,
        "nobody beats"
    );
    let term = log.owned("a").await;
    let mut beats = BTreeSet::new();
    let seen = log.look().await.seen;
    beats.insert(seen.beat);
    for _ in 0..3 {
        assert!(log.done(Request::Beat { term }).await);
        let now = log.look().await.seen;
        assert!(beats.insert(now.beat), "another beat each time");
        assert_eq!(
            (now.term, now.next),
            (seen.term, seen.next),
            "and nothing else"
        );
    }
    assert!(!log.done(Request::Beat { term: term + 1 }).await);
    assert!(beats.contains(&log.look().await.seen.beat));
    assert_eq!(log.take(seen, "b").await, None, "the owner beat meanwhile");
    assert!(log.append(term, 0, b"zero").await, "and still owns it");
}

async fn resigns<A, R>(log: &Log<'_, A>)
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Asked<Reply>>,
{
    let first = log.owned("a").await;
    assert!(log.append(first, 0, b"zero").await);
    let owned = log.look().await.seen;
    assert!(!log.done(Request::Resign { term: first + 1 }).await);
    assert_eq!(log.look().await.owner.as_deref(), Some("a"));
    assert!(log.done(Request::Resign { term: first }).await);
    let head = log.look().await;
    assert_eq!(
        (head.owner, head.seen.next),
        (None, 1),
        "nobody owns it, and the block is there"
    );
    for term in [first, head.seen.term] {
        assert!(!log.done(Request::Resign { term }).await, "nobody resigns");
        assert!(!log.done(Request::Beat { term }).await, "nobody beats");
        assert!(!log.append(term, 1, b"one").await, "nobody appends");
        assert!(
            !log.done(put(term, 1, 0, b"x")).await,
            "nobody writes pieces"
        );
        assert!(!log.done(seal(term, None, "1")).await, "nobody seals");
        assert_eq!(log.clean(term, 1, 1).await, None, "nobody cleans");
    }
    assert_eq!(
        log.take(owned, "b").await,
        None,
        "it was resigned meanwhile"
    );
    let second = log
        .take(head.seen, "b")
        .await
        .expect("it stands as it was seen");
    assert!(
        second > first && second > head.seen.term,
        "terms grow over a resignation"
    );
    assert!(!log.append(first, 1, b"one").await);
    assert!(log.append(second, 1, b"one").await);
    assert_eq!(log.read(0, 1 << 20).await, [&b"zero"[..], b"one"]);
}

async fn stale_owner<A, R>(log: &Log<'_, A>)
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Asked<Reply>>,
{
    let stale = log.owned("a").await;
    assert!(log.append(stale, 0, b"zero").await);
    assert!(log.done(put(stale, 1, 0, b"piece")).await);
    assert!(log.done(seal(stale, None, "one")).await);
    let term = log.owned("b").await;
    let head = log.look().await;
    assert!(!log.append(stale, 1, b"one").await);
    assert!(!log.done(Request::Beat { term: stale }).await);
    assert!(!log.done(Request::Resign { term: stale }).await);
    assert!(!log.done(put(stale, 1, 0, b"other")).await);
    assert!(!log.done(put(stale, 1, 1, b"other")).await);
    assert!(!log.done(seal(stale, Some("one"), "two")).await);
    assert_eq!(log.clean(stale, 2, 1).await, None);
    assert_eq!(head, log.look().await, "what is refused changes nothing");
    assert_eq!(log.read(0, 1 << 20).await, [&b"zero"[..]]);
    assert_eq!(log.piece(1, 0).await.as_deref(), Some(&b"piece"[..]));
    assert_eq!(log.piece(1, 1).await, None);
    assert!(log.append(term, 1, b"one").await);
}

async fn reads<A, R>(log: &Log<'_, A>)
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Asked<Reply>>,
{
    let term = log.owned("a").await;
    let block = |number: u64| vec![number as u8; 100 + number as usize];
    for number in 0..40 {
        assert!(log.append(term, number, &block(number)).await);
    }
    for (from, bytes_max) in [
        (0, 1),
        (0, 0),
        (5, 99),
        (0, 350),
        (0, 3000),
        (7, 1 << 30),
        (39, 5),
    ] {
        let blocks = log.read(from, bytes_max).await;
        assert!(!blocks.is_empty(), "at least one");
        for (number, read) in (from..).zip(&blocks) {
            assert_eq!(read[..], block(number)[..], "in order, without a gap");
        }
        let bytes: usize = blocks.iter().map(Bytes::len).sum();
        let last = blocks.last().map_or(0, Bytes::len);
        assert!(
            bytes <= bytes_max + last,
            "{bytes} bytes, {bytes_max} were wanted"
        );
    }
    let mut next = 0;
    while next < 40 {
        next += log.read(next, 1000).await.len() as u64;
    }
    assert_eq!(next, 40, "by and by all are read");
    assert!(log.read(40, 1 << 20).await.is_empty());
    assert!(log.read(1000, 1 << 20).await.is_empty());
}

async fn largest_values<A, R>(log: &Log<'_, A>)
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Asked<Reply>>,
{
    let term = log.owned("a").await;
    let large: Vec<u8> = (0..VALUE_BYTES_MAX)
        .map(|at| ((at * at) >> 7) as u8)
        .collect();
    for number in 0..5 {
        assert!(log.append(term, number, &large).await);
    }
    let blocks = log.read(0, 2 * VALUE_BYTES_MAX).await;
    assert!((2..=3).contains(&blocks.len()), "{} blocks", blocks.len());
    assert!(blocks.iter().all(|block| block[..] == large[..]));
    assert_eq!(log.read(0, 1).await.len(), 1, "one, even if it is larger");
    assert!(log.done(put(term, 1, 0, &large)).await);
    assert_eq!(log.piece(1, 0).await.as_deref(), Some(&large[..]));
}

async fn pieces<A, R>(log: &Log<'_, A>, other: &Log<'_, A>)
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Asked<Reply>>,
{
    let term = log.owned("a").await;
    for (snapshot, piece, data) in [
        (1, 0, "a"),
        (1, 1, "b"),
        (2, 0, "c"),
        (12, 0, "d"),
        (1, 10, ""),
    ] {
        assert!(log.done(put(term, snapshot, piece, data.as_bytes())).await);
    }
    assert!(
        log.done(put(term, 1, 1, b"e")).await,
        "over one of the same number"
    );
    for (snapshot, piece, data) in [
        (1, 0, "a"),
        (1, 1, "e"),
        (2, 0, "c"),
        (12, 0, "d"),
        (1, 10, ""),
    ] {
        let read = log.piece(snapshot, piece).await;
        assert_eq!(read.as_deref(), Some(data.as_bytes()), "{snapshot} {piece}");
    }
    for (snapshot, piece) in [(1, 2), (3, 0), (2, 1), (10, 0)] {
        assert_eq!(log.piece(snapshot, piece).await, None, "{snapshot} {piece}");
    }
    assert!(!log.done(put(term + 1, 1, 0, b"x")).await);
    assert_eq!(log.piece(1, 0).await.as_deref(), Some(&b"a"[..]));
    assert_eq!(
        log.look().await.snapshot,
        None,
        "pieces are no snapshot until it is sealed"
    );
    assert_eq!(
        other.piece(1, 0).await,
        None,
        "another log has none of them"
    );
}

async fn seals<A, R>(log: &Log<'_, A>)
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Asked<Reply>>,
{
    let term = log.owned("a").await;
    assert!(
        !log.done(seal(term, Some("zero"), "one")).await,
        "there is none yet"
    );
    assert!(!log.done(seal(term + 1, None, "one")).await);
    assert_eq!(log.look().await.snapshot, None);
    assert!(log.done(seal(term, None, "one")).await);
    assert_eq!(log.look().await.snapshot.as_deref(), Some("one"));
    assert!(
        !log.done(seal(term, None, "zero")).await,
        "one that comes late"
    );
    assert!(
        !log.done(seal(term, Some("zero"), "two")).await,
        "over another"
    );
    assert_eq!(log.look().await.snapshot.as_deref(), Some("one"));
    assert!(log.done(seal(term, Some("one"), "two")).await);
    let head = log.look().await;
    assert_eq!(head.snapshot.as_deref(), Some("two"));
    assert_eq!(
        (head.seen.term, head.owner.as_deref()),
        (term, Some("a")),
        "nothing else changes"
    );
    log.owned("b").await;
    assert_eq!(
        log.look().await.snapshot.as_deref(),
        Some("two"),
        "a take keeps it"
    );
}

async fn cleans<A, R>(log: &Log<'_, A>)
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Asked<Reply>>,
{
    let term = log.owned("a").await;
    for number in 0..30 {
        assert!(log.append(term, number, &[number as u8]).await);
    }
    for piece in 0..150 {
        assert!(log.done(put(term, 1, piece, b"old")).await);
    }
    for (snapshot, piece) in [(2, 0), (2, 1), (3, 0)] {
        assert!(log.done(put(term, snapshot, piece, b"new")).await);
    }
    assert!(log.done(seal(term, None, "two")).await);

    assert_eq!(
        log.clean(term + 1, 2, 20).await,
        None,
        "the owner's term is another"
    );
    assert_eq!(
        log.read(0, 1 << 20).await.len(),
        30,
        "nothing is deleted then"
    );
    assert!(log.piece(1, 149).await.is_some());

    let requests = log.clean(term, 2, 20).await;
    assert!(requests > Some(1), "a bounded number at a time");
    assert!(
        log.read(0, 1 << 20).await.is_empty(),
        "a deleted block is not there, nor what follows it"
    );
    assert!(log.read(19, 1 << 20).await.is_empty());
    let left: Vec<u8> = log
        .read(20, 1 << 20)
        .await
        .iter()
        .map(|block| block[0])
        .collect();
    assert_eq!(
        left,
        (20..30).collect::<Vec<u8>>(),
        "from `below` on they stay"
    );
    for piece in [0, 1, 63, 64, 149] {
        assert_eq!(log.piece(1, piece).await, None);
    }
    for (snapshot, piece) in [(2, 0), (2, 1)] {
        assert!(
            log.piece(snapshot, piece).await.is_some(),
            "the snapshot stays"
        );
    }
    assert!(
        log.piece(3, 0).await.is_some(),
        "and a later one, which is being written"
    );
    assert_eq!(log.look().await.seen.next, 30);
    assert!(
        !log.append(term, 0, b"x").await,
        "a deleted block is not appended again"
    );
    assert!(log.append(term, 30, b"x").await);
    assert_eq!(
        log.clean(term, 2, 20).await,
        Some(1),
        "nothing more is to be deleted"
    );
    assert!(log.clean(term, 2, u64::MAX).await.is_some());
    assert_eq!(log.look().await.seen.next, 31, "even if no block is left");
    assert!(log.append(term, 31, b"y").await);
    assert_eq!(log.read(31, 1 << 20).await, [&b"y"[..]]);
}

async fn extremes<A, R>(log: &Log<'_, A>)
where
    A: Fn(String, Request) -> R,
    R: Future<Output = Asked<Reply>>,
{
    let term = log.owned("a").await;
    for number in [1 << 63, u64::MAX] {
        assert!(!log.append(term, number, b"x").await);
        assert!(!log.append(number, 0, b"x").await);
        assert!(!log.done(Request::Beat { term: number }).await);
        assert!(!log.done(Request::Resign { term: number }).await);
        assert!(log.read(number, usize::MAX).await.is_empty());
        assert_eq!(log.piece(number, u32::MAX).await, None);
    }
    let largest = (i64::MAX as u64, u32::MAX);
    assert!(log.done(put(term, largest.0, largest.1, b"last")).await);
    assert_eq!(
        log.piece(largest.0, largest.1).await.as_deref(),
        Some(&b"last"[..])
    );
}
