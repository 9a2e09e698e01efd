//! The names on the memory disk: those seen now, those a crash leaves for certain, and the
//! changes between that may or may not survive it. Called by the memory disk only.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use super::content::Content;
use super::random::Random;

pub(super) type FileRef = Rc<RefCell<Content>>;
pub(super) type DirRef = Rc<RefCell<Dir>>;

/// What a name stands for.
#[derive(Clone)]
pub(super) enum Node {
    File(FileRef),
    Dir(DirRef),
}

impl Node {
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(a), Self::File(b)) => Rc::ptr_eq(a, b),
            (Self::Dir(a), Self::Dir(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// A directory's names.
#[derive(Default)]
pub(super) struct Dir {
    live: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
}

/// A change of names: `node` leaves one place, takes another, or both at once.
struct Change {
    seq: u64,
    node: Node,
    from: Option<(DirRef, String)>,
    to: Option<(DirRef, String)>,
    /// Directories to be synced before it is durable.
    waits: Vec<DirRef>,
}

/// All names below the root.
#[derive(Default)]
pub(super) struct Tree {
    root: DirRef,
    changes: Vec<Change>,
}

fn fail<T>(kind: ErrorKind, path: &str) -> io::Result<T> {
    Err(io::Error::new(kind, format!("{path}: {kind}")))
}

impl Tree {
    /// The directory at `path`; the root is the empty path.
    pub(super) fn dir(&self, path: &str) -> io::Result<DirRef> {
        let mut dir = self.root.clone();
        for name in path.split('/').filter(|_| !path.is_empty()) {
            let next = match dir.borrow().live.get(name) {
                Some(Node::Dir(next)) => next.clone(),
                Some(Node::File(_)) => return fail(ErrorKind::NotADirectory, path),
                None => return fail(ErrorKind::NotFound, path),
            };
            dir = next;
        }
        Ok(dir)
    }

    fn place(&self, path: &str) -> io::Result<(DirRef, String)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() || name == "." || name == ".." {
            return fail(ErrorKind::InvalidInput, path);
        }
        Ok((self.dir(parent)?, name.to_owned()))
    }

    pub(super) fn node(&self, path: &str) -> io::Result<Node> {
        let (dir, name) = self.place(path)?;
        let node = dir.borrow().live.get(&name).cloned();
        node.map_or_else(|| fail(ErrorKind::NotFound, path), Ok)
    }

    pub(super) fn file(&self, path: &str) -> io::Result<FileRef> {
        match self.node(path)? {
            Node::File(file) => Ok(file),
            Node::Dir(_) => fail(ErrorKind::IsADirectory, path),
        }
    }

    pub(super) fn list(&self, path: &str) -> io::Result<Vec<String>> {
        Ok(self.dir(path)?.borrow().live.keys().cloned().collect())
    }

    pub(super) fn create(&mut self, seq: u64, path: &str) -> io::Result<FileRef> {
        if self.node(path).is_ok() {
            return fail(ErrorKind::AlreadyExists, path);
        }
        let file = FileRef::default();
        let to = self.place(path)?;
        self.change(seq, Node::File(file.clone()), None, Some(to));
        Ok(file)
    }

    pub(super) fn make_dir(&mut self, seq: u64, path: &str) -> io::Result<()> {
        let ends = path
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([path.len()]);
        for end in ends.filter(|end| *end > 0) {
            match self.node(&path[..end]) {
                Ok(Node::Dir(_)) => {}
                Ok(Node::File(_)) => return fail(ErrorKind::NotADirectory, path),
                Err(_) => {
                    let to = self.place(&path[..end])?;
                    self.change(seq, Node::Dir(DirRef::default()), None, Some(to));
                }
            }
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, seq: u64, path: &str) -> io::Result<()> {
        let node = Node::File(self.file(path)?);
        let from = self.place(path)?;
        self.change(seq, node, Some(from), None);
        Ok(())
    }

    pub(super) fn rename(&mut self, seq: u64, from: &str, to: &str) -> io::Result<()> {
        let node = self.node(from)?;
        let target = self.place(to)?;
        match (&node, self.node(to)) {
            (_, Err(_)) | (Node::File(_), Ok(Node::File(_))) => {}
            (_, Ok(_)) => return fail(ErrorKind::AlreadyExists, to),
        }
        let source = self.place(from)?;
        self.change(seq, node, Some(source), Some(target));
        Ok(())
    }

    fn change(
        &mut self,
        seq: u64,
        node: Node,
        from: Option<(DirRef, String)>,
        to: Option<(DirRef, String)>,
    ) {
        if let Some((dir, name)) = &from {
            dir.borrow_mut().live.remove(name);
        }
        if let Some((dir, name)) = &to {
            dir.borrow_mut().live.insert(name.clone(), node.clone());
        }
        let mut waits: Vec<DirRef> = Vec::new();
        for (dir, _) in from.iter().chain(&to) {
            if !waits.iter().any(|known| Rc::ptr_eq(known, dir)) {
                waits.push(dir.clone());
            }
        }
        self.changes.push(Change {
            seq,
            node,
            from,
            to,
            waits,
        });
    }

    /// Makes the changes up to `seq` in this directory durable.
    pub(super) fn sync_dir(&mut self, seq: u64, path: &str) -> io::Result<()> {
        let dir = self.dir(path)?;
        for change in self.changes.iter_mut().filter(|change| change.seq <= seq) {
            change.waits.retain(|waits| !Rc::ptr_eq(waits, &dir));
            if change.waits.is_empty() {
                change.settle();
            }
        }
        self.changes.retain(|change| !change.waits.is_empty());
        Ok(())
    }

    /// The power goes: each change that is not durable survives or does not.
    pub(super) fn crash(&mut self, random: &mut Random) {
        for change in self.changes.drain(..) {
            if random.coin() {
                change.settle();
            }
        }
        let mut dirs = vec![self.root.clone()];
        while let Some(dir) = dirs.pop() {
            let mut dir = dir.borrow_mut();
            dir.live = dir.durable.clone();
            for node in dir.live.values() {
                match node {
                    Node::File(file) => file.borrow_mut().crash(random),
                    Node::Dir(below) => dirs.push(below.clone()),
                }
            }
        }
    }

    /// Calls `visit` with each file that has a name, in order.
    pub(super) fn each(&self, visit: &mut dyn FnMut(&str, &Content)) {
        walk(&self.root.borrow(), "", visit);
    }
}

impl Change {
    fn settle(&self) {
        if let Some((dir, _)) = &self.from {
            // An earlier move that did not survive may have left it under another name.
            dir.borrow_mut()
                .durable
                .retain(|_, node| !node.same(&self.node));
        }
        if let Some((dir, name)) = &self.to {
            dir.borrow_mut()
                .durable
                .insert(name.clone(), self.node.clone());
        }
    }
}

fn walk(dir: &Dir, path: &str, visit: &mut dyn FnMut(&str, &Content)) {
    for (name, node) in &dir.live {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}/{name}")
        };
        match node {
            Node::File(file) => visit(&path, &file.borrow()),
            Node::Dir(below) => walk(&below.borrow(), &path, visit),
        }
    }
}
