//! What a request allocates on a server: of a method that is ready at its first poll, and of one that is not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use diwan::rpc::Server;
use diwan_bench::counting::{Counting, allocations, count_allocations};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Methods that allocate nothing of their own.
#[diwan::service(interface = "com.diwan.bench.Alloc")]
pub trait Alloc {
    /// Ready at its first poll.
    async fn ready(&self, number: i64) -> i64;
    /// Not ready at its first poll.
    async fn pending(&self, number: i64) -> i64;
}

struct Service;

impl Alloc for Service {
    async fn ready(&self, number: i64) -> i64 {
        number
    }
    async fn pending(&self, number: i64) -> i64 {
        tokio::task::yield_now().await;
        number
    }
}

const REQUESTS: u64 = 10_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    count_allocations(true);
    let server = Server::builder("127.0.0.1:0")
        .workers(1)
        .publish(AllocServer::new(Service))
        .start()?;
    let mut stream = TcpStream::connect(server.local_addr())?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    for method in ["ready", "pending"] {
        let request = diwan_bench::number_request("com.diwan.bench.Alloc:1.0", method)?;
        let mut answer = vec![0; 65_536];
        let mut call = || -> std::io::Result<()> {
            stream.write_all(&request)?;
            stream.read(&mut answer).map(drop)
        };
        for _ in 0..1000 {
            call()?;
        }
        let before = allocations();
        for _ in 0..REQUESTS {
            call()?;
        }
        let each = (allocations() - before) as f64 / REQUESTS as f64;
        println!("{method}: {each:.2} allocations per request");
    }
    Ok(())
}
