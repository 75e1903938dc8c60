//! What one stanza costs: time and allocations from bytes to an owned, namespace-aware, validated element, here and with
//! the usual crates. `cargo bench -p kim-wire` prints both; docs/performance.md keeps the figures.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashSet;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use bytes::BytesMut;
use criterion::{Criterion, Throughput};
use kim_wire::{Element, Frame, Limits, Reader, Writer};
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{NamespaceResolver, ResolveResult};

#[allow(dead_code)]
#[path = "../tests/generator.rs"]
mod generator;

/// Counts every allocation of the process.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const HEADER: &[u8] =
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>";

/// A stream that is open, and the buffer that its socket would read into.
struct Ours {
    reader: Reader,
    input: BytesMut,
}

impl Ours {
    fn new() -> Ours {
        let mut ours = Ours {
            reader: Reader::stream(Limits::default(), "jabber:client"),
            input: BytesMut::new(),
        };
        ours.input.extend_from_slice(HEADER);
        assert!(matches!(
            ours.reader.read(&mut ours.input),
            Ok(Some(Frame::Open(_)))
        ));
        ours
    }

    fn read(&mut self, xml: &[u8]) -> Element {
        self.input.extend_from_slice(xml);
        match self.reader.read(&mut self.input) {
            Ok(Some(Frame::Element(element))) => element,
            other => panic!("{other:?}"),
        }
    }
}

/// An owned tree over quick-xml, with what it leaves to its caller done: namespaces resolved, attributes checked for
/// duplicates and broken values, end tags checked, references resolved.
#[derive(Default)]
#[allow(dead_code)]
struct Node {
    name: String,
    ns: String,
    attrs: Vec<(String, String, String)>,
    text: String,
    children: Vec<Node>,
}

fn node(resolver: &NamespaceResolver, tag: &BytesStart<'_>) -> Node {
    let name = |ns: ResolveResult<'_>| match ns {
        ResolveResult::Bound(ns) => ns.0.to_owned(),
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(_) => panic!("unbound prefix"),
    };
    let mut node = Node {
        name: tag.local_name().as_ref().to_owned(),
        ns: name(resolver.resolve_element(tag.name()).0),
        ..Node::default()
    };
    let mut seen = HashSet::new();
    for attr in tag.attributes() {
        let attr = attr.unwrap();
        if attr.key.as_namespace_binding().is_some() {
            continue;
        }
        let (ns, local) = resolver.resolve_attribute(attr.key);
        let (ns, local) = (name(ns), local.as_ref().to_owned());
        let value = quick_xml::escape::unescape(&attr.value).unwrap().into_owned();
        assert!(!ns.is_empty() || seen.len() < 64);
        if !ns.is_empty() {
            assert!(seen.insert((ns.clone(), local.clone())));
        }
        node.attrs.push((ns, local, value));
    }
    node
}

fn quick(xml: &[u8]) -> Node {
    let mut reader = quick_xml::NsReader::from_reader(xml);
    let mut open: Vec<Node> = Vec::new();
    loop {
        let event = reader.read_event().unwrap();
        match event {
            Event::Start(tag) => {
                let node = node(reader.resolver(), &tag);
                open.push(node);
            }
            Event::Empty(tag) => {
                let node = node(reader.resolver(), &tag);
                match open.last_mut() {
                    Some(parent) => parent.children.push(node),
                    None => return node,
                }
            }
            Event::End(_) => {
                let node = open.pop().unwrap();
                match open.last_mut() {
                    Some(parent) => parent.children.push(node),
                    None => return node,
                }
            }
            Event::Text(text) => open.last_mut().unwrap().text.push_str(&text),
            Event::GeneralRef(name) => match name.resolve_char_ref().unwrap() {
                Some(c) => open.last_mut().unwrap().text.push(c),
                None => {
                    let text = quick_xml::escape::resolve_predefined_entity(&name).unwrap();
                    open.last_mut().unwrap().text.push_str(text);
                }
            },
            other => panic!("{other:?}"),
        }
    }
}

fn minidom(xml: &[u8]) -> minidom::Element {
    minidom::Element::from_reader(xml).unwrap()
}

/// The cost of one call once a steady state is reached.
struct Cost {
    /// The best of many short batches: what the work takes when nothing else disturbs it.
    best_ns: f64,
    allocations: f64,
}

fn cost(mut call: impl FnMut()) -> Cost {
    const BATCH: u32 = 100;
    let mut best_ns = f64::MAX;
    for _ in 0..2000 {
        let start = Instant::now();
        for _ in 0..BATCH {
            call();
        }
        best_ns = best_ns.min(start.elapsed().as_nanos() as f64 / f64::from(BATCH));
    }
    let before = ALLOCATIONS.load(Relaxed);
    for _ in 0..BATCH {
        call();
    }
    Cost {
        best_ns,
        allocations: (ALLOCATIONS.load(Relaxed) - before) as f64 / f64::from(BATCH),
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut table = Vec::new();
    for (name, xml) in [
        ("chat", generator::CHAT.to_owned()),
        ("omemo", generator::omemo(10)),
    ] {
        let bytes = xml.as_bytes();
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(bytes.len() as u64));

        let mut ours = Ours::new();
        group.bench_function("kim-wire", |b| b.iter(|| drop(black_box(ours.read(bytes)))));
        let mut in_pieces = Ours::new();
        group.bench_function("kim-wire, in three pieces", |b| {
            b.iter(|| {
                let (first, rest) = bytes.split_at(bytes.len() / 3);
                let (second, third) = rest.split_at(rest.len() / 2);
                for piece in [first, second] {
                    in_pieces.input.extend_from_slice(piece);
                    assert!(in_pieces.reader.read(&mut in_pieces.input).unwrap().is_none());
                }
                drop(black_box(in_pieces.read(third)));
            });
        });
        group.bench_function("quick-xml to an own tree", |b| b.iter(|| black_box(quick(bytes))));
        group.bench_function("rxml to minidom", |b| b.iter(|| black_box(minidom(bytes))));

        let element = Element::parse(&xml).unwrap();
        group.bench_function("kim-wire, one attribute and one child looked up", |b| {
            b.iter(|| {
                black_box((
                    element.attr("to"),
                    element.child("body", "jabber:client").is_some(),
                ))
            })
        });
        group.bench_function("kim-wire, written anew by the writer", |b| {
            b.iter(|| {
                let mut writer = Writer::new();
                writer
                    .start("message", "jabber:client")
                    .attr("to", "bob@example.com")
                    .attr("id", "1");
                for child in element.children() {
                    writer.el(child);
                }
                black_box(writer.finish())
            })
        });
        group.finish();

        table.push((
            name,
            bytes.len(),
            "kim-wire",
            cost(|| drop(black_box(ours.read(bytes)))),
        ));
        table.push((
            name,
            bytes.len(),
            "quick-xml to an own tree",
            cost(|| drop(black_box(quick(bytes)))),
        ));
        table.push((
            name,
            bytes.len(),
            "rxml to minidom",
            cost(|| drop(black_box(minidom(bytes)))),
        ));
    }
    println!("best of 2000 batches of 100:");
    for (name, len, what, Cost { best_ns, allocations }) in table {
        let rate = len as f64 * 1000.0 / best_ns;
        println!("{name} ({len} bytes), {what}: {best_ns:.0} ns, {rate:.0} MB/s, {allocations} allocations");
    }
    criterion.final_summary();
}
