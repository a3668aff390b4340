// SPDX-License-Identifier: LGPL-2.1-or-later
//! The frame of all peers as Rust sees it: the table of `peer.h`, filled in by whatever is an [`End`].

use std::ffi::{c_char, c_int, c_void, CStr};

/// `PeerRun` of `peer.h`.
#[repr(C)]
pub struct Run {
    transport: *const c_char,
    dir: *const c_char,
    address: *mut c_char,
    pub size: usize,
    seconds: f64,
    cpus: [c_int; 2],
    sent: u8,
    seen: u8,
    pub stream: bool,
    pipelined: bool,
    pub spin: bool,
    touch: bool,
}

impl Run {
    pub fn dir(&self) -> &str {
        unsafe { CStr::from_ptr(self.dir) }.to_str().expect("a folder with an ordinary name")
    }

    pub fn is_request(&self) -> bool {
        unsafe { peer_is_request(self) }
    }

    pub fn depth(&self, bytes: usize, most: u32) -> usize {
        unsafe { peer_depth(self, bytes, most) as usize }
    }

    /// Writes every byte, where the measurement is a touched one.
    pub fn fill(&mut self, message: *mut u8) {
        unsafe { peer_fill(self, message.cast()) }
    }

    /// Reads every byte, where the measurement is a touched one.
    pub fn check(&mut self, message: &[u8]) {
        unsafe { peer_check(self, message.as_ptr().cast(), message.len()) }
    }
}

/// One end of a measurement: what it cannot do, it is never asked for.
pub trait End {
    fn exchange(&mut self) {}
    fn echo(&mut self) {}
    fn produce(&mut self) {}
    fn consume(&mut self) -> u64 {
        0
    }
}

/// `Peer` of `peer.h`.
#[repr(C)]
struct Table {
    name: *const c_char,
    version: extern "C" fn() -> *const c_char,
    transports: *const c_char,
    waits: *const c_char,
    ends_itself: bool,
    why_not: *const c_void,
    before: *const c_void,
    after: extern "C" fn(*mut Run),
    serve: extern "C" fn(*mut Run) -> *mut c_void,
    connect: extern "C" fn(*mut Run) -> *mut c_void,
    exchange: extern "C" fn(*mut c_void),
    echo: extern "C" fn(*mut c_void),
    produce: extern "C" fn(*mut c_void),
    consume: extern "C" fn(*mut c_void) -> u64,
    pipeline: *const c_void,
    close: extern "C" fn(*mut c_void),
}

extern "C" {
    fn peer_main(peer: *const Table, argc: c_int, argv: *const *const c_char) -> c_int;
    fn peer_is_request(run: *const Run) -> bool;
    fn peer_over() -> bool;
    fn peer_layout(last: *mut usize, size: *mut usize);
    fn peer_depth(run: *const Run, bytes: usize, most: u32) -> u32;
    fn peer_fill(run: *mut Run, message: *mut c_void);
    fn peer_check(run: *mut Run, message: *const c_void, size: usize);
}

/// Whether the measurement is done.
pub fn over() -> bool {
    unsafe { peer_over() }
}

/// Ends the process: the measurement failed.
pub fn fail(what: &str, why: &dyn std::fmt::Debug) -> ! {
    eprintln!("iceoryx2: {what}: {why:?}");
    std::process::exit(1)
}

fn open(run: *mut Run, serves: bool) -> *mut c_void {
    let run: &'static mut Run = unsafe { &mut *run };
    Box::into_raw(Box::new(super::open(run, serves))).cast()
}

fn end_of<'a>(end: *mut c_void) -> &'a mut dyn End {
    unsafe { (*end.cast::<Box<dyn End>>()).as_mut() }
}

extern "C" fn after(run: *mut Run) {
    super::sweep(unsafe { &*run })
}

extern "C" fn serve(run: *mut Run) -> *mut c_void {
    open(run, true)
}

extern "C" fn connect(run: *mut Run) -> *mut c_void {
    open(run, false)
}

extern "C" fn exchange(end: *mut c_void) {
    end_of(end).exchange()
}

extern "C" fn echo(end: *mut c_void) {
    end_of(end).echo()
}

extern "C" fn produce(end: *mut c_void) {
    end_of(end).produce()
}

extern "C" fn consume(end: *mut c_void) -> u64 {
    end_of(end).consume()
}

extern "C" fn close(end: *mut c_void) {
    drop(unsafe { Box::from_raw(end.cast::<Box<dyn End>>()) })
}

/// The table and the run are repeated here by hand: a member that was added there only would be read
/// as another one.
fn check_layout() {
    let (mut last, mut size) = (0, 0);
    unsafe { peer_layout(&mut last, &mut size) };
    assert_eq!((std::mem::offset_of!(Run, touch), std::mem::size_of::<Table>()), (last, size));
}

/// Runs the command line; never returns.
pub fn main(
    name: &CStr,
    version: extern "C" fn() -> *const c_char,
    transports: &CStr,
    waits: &CStr,
) -> ! {
    check_layout();
    let arguments: Vec<std::ffi::CString> = std::env::args()
        .map(|text| std::ffi::CString::new(text).expect("an argument without a zero byte"))
        .collect();
    let mut pointers: Vec<*const c_char> = arguments.iter().map(|text| text.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let table = Table {
        name: name.as_ptr(),
        version,
        transports: transports.as_ptr(),
        waits: waits.as_ptr(),
        ends_itself: true,
        why_not: std::ptr::null(),
        before: std::ptr::null(),
        after,
        serve,
        connect,
        exchange,
        echo,
        produce,
        consume,
        pipeline: std::ptr::null(),
        close,
    };
    let status = unsafe { peer_main(&table, arguments.len() as c_int, pointers.as_ptr()) };
    std::process::exit(status)
}
