// SPDX-License-Identifier: LGPL-2.1-or-later
//! iceoryx2: publish/subscribe as "shm", request/response as "shm-rr", both with slices of bytes that
//! are loaned, never copied. To spin is to poll the port, as iceoryx2's own benchmarks do; to block
//! is to wait for an event that the sender raises after each message. One publisher, one subscriber,
//! no history; a full buffer makes the sender of a stream wait. Folders and names are of this run only.

mod peer;

use core::time::Duration;
use iceoryx2::node::Node;
use iceoryx2::port::{
    client::Client, listener::Listener, notifier::Notifier, publisher::Publisher, server::Server,
    subscriber::Subscriber, BackpressureAction,
};
use iceoryx2::prelude::*;
use peer::{fail, End, Run};
use std::ffi::c_char;
use std::fmt::Debug;

/// How many messages of a stream may wait for the subscriber, where memory permits.
const STREAM_DEPTH: u32 = 64;
const STREAM_BYTES: usize = 512 << 10;
/// So often a waiting end looks whether the measurement is over.
const LOOK: Duration = Duration::from_millis(50);

trait OrFail<T> {
    fn or_fail(self, what: &str) -> T;
}

impl<T, E: Debug> OrFail<T> for Result<T, E> {
    fn or_fail(self, what: &str) -> T {
        self.unwrap_or_else(|why| fail(what, &why))
    }
}

/// Segments have names, and two runs at a time must not meet.
fn prefix_of(run: &Run) -> String {
    format!("peer_{}_", run.dir().rsplit('-').next().unwrap_or_default())
}

fn open_node(run: &Run) -> Node<ipc::Service> {
    let mut config = Config::default();
    let root = format!("{}/iceoryx2", run.dir());
    config.global.set_root_path(&Path::new(root.as_bytes()).or_fail("the folder"));
    config.global.prefix = FileName::new(prefix_of(run).as_bytes()).or_fail("the prefix");
    NodeBuilder::new()
        .config(&config)
        .signal_handling_mode(SignalHandlingMode::Disabled)
        .create::<ipc::Service>()
        .or_fail("creating a node")
}

fn name_of(name: &str) -> ServiceName {
    name.try_into().or_fail("the name of a service")
}

/// How one end learns that there is something, and says so.
struct Waiting {
    bells: Option<(Listener<ipc::Service>, Notifier<ipc::Service>)>,
}

impl Waiting {
    fn open(node: &Node<ipc::Service>, run: &Run, mine: &str, other: &str) -> Waiting {
        let event = |name: &str| {
            node.service_builder(&name_of(&format!("{name}/bell")))
                .event()
                .open_or_create()
                .or_fail("opening an event")
        };
        let bells = (!run.spin).then(|| {
            let listener = event(mine).listener_builder().create().or_fail("creating a listener");
            let notifier = event(other).notifier_builder().create().or_fail("creating a notifier");
            (listener, notifier)
        });
        Waiting { bells }
    }

    fn ring(&self) {
        if let Some((_, notifier)) = &self.bells {
            notifier.notify().or_fail("notifying");
        }
    }

    /// Until `take` has something; nothing when the measurement is over.
    fn until<T>(&self, mut take: impl FnMut() -> Option<T>) -> Option<T> {
        loop {
            if let Some(taken) = take() {
                return Some(taken);
            }
            match &self.bells {
                Some((listener, _)) => {
                    listener.timed_wait(|_| (), LOOK).or_fail("waiting");
                }
                None => std::hint::spin_loop(),
            }
            if peer::over() {
                return None;
            }
        }
    }
}

/* --- publish/subscribe --- */

struct PubSub {
    run: &'static mut Run,
    publisher: Publisher<ipc::Service, [u8], ()>,
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    waiting: Waiting,
    /// Of a stream: whether the subscriber is known to have found the publisher. Until then a buffer
    /// that is full loses messages instead of making the publisher wait.
    met: bool,
    _node: Node<ipc::Service>,
}

impl PubSub {
    fn open(run: &'static mut Run, mine: &str, other: &str) -> PubSub {
        let node = open_node(run);
        let depth = if run.stream { run.depth(STREAM_BYTES, STREAM_DEPTH) } else { 2 };
        let topic = |name: &str| {
            node.service_builder(&name_of(name))
                .publish_subscribe::<[u8]>()
                .payload_alignment(Alignment::new(64).expect("a power of two"))
                .max_publishers(1)
                .max_subscribers(1)
                .history_size(0)
                .subscriber_max_buffer_size(depth)
                .subscriber_max_borrowed_samples(1)
                .enable_safe_overflow(false)
                .open_or_create()
                .or_fail("opening a topic")
        };
        let subscriber = topic(mine).subscriber_builder().create().or_fail("creating a subscriber");
        let publisher = topic(other)
            .publisher_builder()
            .initial_max_slice_len(run.size)
            .max_loaned_samples(1)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            // A subscriber that is gone takes nothing any more.
            .set_backpressure_handler(|_| {
                if peer::over() {
                    BackpressureAction::DiscardData
                } else {
                    BackpressureAction::Retry
                }
            })
            .create()
            .or_fail("creating a publisher");
        let waiting = Waiting::open(&node, run, mine, other);
        PubSub { run, publisher, subscriber, waiting, met: false, _node: node }
    }

    fn send(&mut self) {
        let mut sample = self.publisher.loan_slice_uninit(self.run.size).or_fail("loaning");
        self.run.fill(sample.payload_mut().as_mut_ptr().cast());
        // Bytes that the measurement leaves untouched are sent as they are.
        let sample = unsafe { sample.assume_init() };
        let receivers = sample.send().or_fail("sending");
        if receivers != 1 && !peer::over() {
            fail("sending", &"nobody received it");
        }
        self.waiting.ring();
    }

    /// False when the measurement is over.
    fn receive(&mut self) -> bool {
        let subscriber = &self.subscriber;
        let sample = self.waiting.until(|| subscriber.receive().or_fail("receiving"));
        if let Some(sample) = &sample {
            self.run.check(sample.payload());
        }
        sample.is_some()
    }
}

impl End for PubSub {
    fn exchange(&mut self) {
        self.send();
        self.receive();
    }

    fn echo(&mut self) {
        if self.receive() {
            self.send();
        }
    }

    fn produce(&mut self) {
        self.send();
        if !self.met {
            self.met = self.receive();
        }
    }

    fn consume(&mut self) -> u64 {
        let received = self.receive();
        if !self.met {
            self.send();
            self.met = true;
        }
        u64::from(received)
    }
}

/* --- request/response --- */

macro_rules! open_calls {
    ($node:expr) => {
        $node
            .service_builder(&name_of("call"))
            .request_response::<[u8], [u8]>()
            .request_payload_alignment(Alignment::new(64).expect("a power of two"))
            .response_payload_alignment(Alignment::new(64).expect("a power of two"))
            .max_clients(1)
            .max_servers(1)
            .max_active_requests_per_client(1)
            .max_loaned_requests(1)
            .max_response_buffer_size(1)
            .max_borrowed_responses_per_pending_response(1)
            .open_or_create()
            .or_fail("opening a service")
    };
}

struct Asks {
    run: &'static mut Run,
    client: Client<ipc::Service, [u8], (), [u8], ()>,
    waiting: Waiting,
    _node: Node<ipc::Service>,
}

impl Asks {
    fn open(run: &'static mut Run) -> Asks {
        let node = open_node(run);
        let client = open_calls!(node)
            .client_builder()
            .initial_max_slice_len(run.size)
            .create()
            .or_fail("creating a client");
        let waiting = Waiting::open(&node, run, "back", "there");
        Asks { run, client, waiting, _node: node }
    }
}

impl End for Asks {
    fn exchange(&mut self) {
        let mut request = self.client.loan_slice_uninit(self.run.size).or_fail("loaning");
        self.run.fill(request.payload_mut().as_mut_ptr().cast());
        let pending = unsafe { request.assume_init() }.send().or_fail("sending");
        self.waiting.ring();
        if let Some(response) = self.waiting.until(|| pending.receive().or_fail("receiving")) {
            self.run.check(response.payload());
        }
    }
}

struct Answers {
    run: &'static mut Run,
    server: Server<ipc::Service, [u8], (), [u8], ()>,
    waiting: Waiting,
    _node: Node<ipc::Service>,
}

impl Answers {
    fn open(run: &'static mut Run) -> Answers {
        let node = open_node(run);
        let server = open_calls!(node)
            .server_builder()
            .initial_max_slice_len(run.size)
            .max_loaned_responses_per_request(1)
            .create()
            .or_fail("creating a server");
        let waiting = Waiting::open(&node, run, "there", "back");
        Answers { run, server, waiting, _node: node }
    }
}

impl End for Answers {
    fn echo(&mut self) {
        let server = &self.server;
        let Some(active) = self.waiting.until(|| server.receive().or_fail("receiving")) else {
            return;
        };
        self.run.check(active.payload());
        let mut response = active.loan_slice_uninit(self.run.size).or_fail("loaning");
        self.run.fill(response.payload_mut().as_mut_ptr().cast());
        unsafe { response.assume_init() }.send().or_fail("sending");
        self.waiting.ring();
    }
}

/* --- the table --- */

/// Names of this run that a process left in shared memory.
fn sweep(run: &Run) {
    let prefix = prefix_of(run);
    for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // Somebody else may have been faster.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn open(run: &'static mut Run, serves: bool) -> Box<dyn End> {
    set_log_level(LogLevel::Error);
    match (run.is_request(), serves) {
        (false, true) => Box::new(PubSub::open(run, "there", "back")),
        (false, false) => Box::new(PubSub::open(run, "back", "there")),
        (true, true) => Box::new(Answers::open(run)),
        (true, false) => Box::new(Asks::open(run)),
    }
}

extern "C" fn version() -> *const c_char {
    const TEXT: &str = concat!(env!("ICEORYX2_VERSION"), "\0");
    TEXT.as_ptr().cast()
}

fn main() {
    peer::main(c"iceoryx2", version, c"shm shm-rr", c"spin block")
}
