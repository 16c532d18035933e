//! Random process trees: what an app and its descendants do, drawn from a number.

/// Numbers that look random and are the same each time (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// From `seed` on.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// One below `limit`.
    pub fn roll(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It exits.
    Exit(i32),
    /// A signal of its own ends it; some of these dump core.
    Signal(i32),
    /// It does not end by itself.
    Never,
    /// It stops, and nobody continues it.
    Stop,
}

/// One process of a tree.
#[derive(Debug, Clone)]
pub struct Node {
    /// It leaves its parent's session.
    pub new_session: bool,
    /// It is deaf to SIGTERM.
    pub deaf: bool,
    /// It stops first, and is continued by a child.
    pub pauses: bool,
    /// It waits for its children; else they are orphans, if they live longer.
    pub waits: bool,
    /// How it ends.
    pub end: End,
    /// Its children.
    pub children: Vec<Node>,
}

const SIGNALS: [i32; 9] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGABRT,
    libc::SIGKILL,
    libc::SIGSEGV,
    libc::SIGTERM,
    libc::SIGUSR1,
    40,
];

impl Node {
    /// The app that `seed` stands for, which always ends by itself.
    pub fn app(seed: u64) -> Node {
        let mut dice = Dice::new(seed);
        let mut app = Node::random(&mut dice, 3);
        app.end = own_end(&mut dice);
        // It may not wait for what never ends.
        app.waits = app.waits && app.children.iter().all(Node::ends);
        app
    }

    fn random(dice: &mut Dice, depth: u64) -> Node {
        let count = if depth == 0 { 0 } else { dice.roll(4) };
        let children: Vec<Node> = (0..count).map(|_| Node::random(dice, depth - 1)).collect();
        Node {
            new_session: dice.roll(3) == 0,
            deaf: dice.roll(4) == 0,
            pauses: dice.roll(5) == 0,
            waits: dice.roll(2) == 0 && children.iter().all(Node::ends),
            end: match dice.roll(6) {
                0 => End::Never,
                1 => End::Stop,
                _ => own_end(dice),
            },
            children,
        }
    }

    fn ends(&self) -> bool {
        matches!(self.end, End::Exit(_) | End::Signal(_))
    }
}

fn own_end(dice: &mut Dice) -> End {
    match dice.roll(2) {
        0 => End::Exit(dice.roll(256) as i32),
        _ => End::Signal(SIGNALS[dice.roll(SIGNALS.len() as u64) as usize]),
    }
}
