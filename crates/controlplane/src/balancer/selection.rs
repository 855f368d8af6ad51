//! In which order workers are asked, as a pure state machine: events in, one action out.

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A worker answered that it is full, or failed to answer.
    Unavailable(usize),
    /// The worker that was asked last has not answered for a while.
    Stagger,
    /// The worker that was chosen did not take the job.
    Rejected,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask this worker too.
    Ask(usize),
    /// Wait for the next answer.
    Wait,
    /// Every worker has answered and none has room.
    GiveUp,
}

/// The asking for one request.
#[derive(Debug)]
pub(super) struct Selection {
    /// Not yet asked, the next one last.
    unasked: Vec<usize>,
    /// Asked and not heard from, in the order of asking.
    pending: Vec<usize>,
}

impl Selection {
    /// A selection that asks in this order.
    pub(super) fn new(mut order: Vec<usize>) -> Self {
        order.reverse();
        Self { unasked: order, pending: Vec::new() }
    }

    /// The first action.
    pub(super) fn begin(&mut self) -> Action {
        self.ask_next()
    }

    /// The action after an event.
    pub(super) fn on(&mut self, event: Event) -> Action {
        if let Event::Unavailable(worker) = event {
            self.pending.retain(|pending| *pending != worker);
        }
        self.ask_next()
    }

    /// Chooses `worker`, which answered that it has room. Tells which workers it overtook: they were asked before it
    /// and have not answered.
    pub(super) fn choose(&mut self, worker: usize) -> Vec<usize> {
        let overtaken = self.pending.iter().copied().take_while(|pending| *pending != worker).collect();
        self.pending.retain(|pending| *pending != worker);
        overtaken
    }

    /// True while a [`Event::Stagger`] could lead to anything.
    pub(super) fn has_unasked(&self) -> bool {
        !self.unasked.is_empty()
    }

    fn ask_next(&mut self) -> Action {
        match self.unasked.pop() {
            Some(worker) => {
                self.pending.push(worker);
                Action::Ask(worker)
            }
            None if self.pending.is_empty() => Action::GiveUp,
            None => Action::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::{
        Action::{Ask, GiveUp, Wait},
        Event::{Rejected, Stagger, Unavailable},
        *,
    };

    #[rstest]
    #[case::nobody_there(&[], &[], &[GiveUp])]
    #[case::the_first_is_full(&[1, 0], &[Unavailable(1)], &[Ask(1), Ask(0)])]
    #[case::all_are_full(&[0, 1], &[Unavailable(0), Unavailable(1)], &[Ask(0), Ask(1), GiveUp])]
    #[case::the_first_hangs(&[0, 1], &[Stagger, Unavailable(1), Unavailable(0)], &[Ask(0), Ask(1), Wait, GiveUp])]
    #[case::all_hang(&[0, 1], &[Stagger, Stagger], &[Ask(0), Ask(1), Wait])]
    fn asks_in_order(#[case] order: &[usize], #[case] events: &[Event], #[case] expected: &[Action]) {
        let mut selection = Selection::new(order.to_vec());
        let mut actions = vec![selection.begin()];
        actions.extend(events.iter().map(|event| selection.on(*event)));
        assert_eq!(actions, expected);
    }

    #[test]
    fn a_worker_overtakes_those_that_were_asked_before_it() {
        let mut selection = Selection::new(vec![0, 1, 2]);
        selection.begin();
        selection.on(Stagger);
        selection.on(Stagger);
        assert_eq!(selection.choose(1), [0]);
        assert_eq!(selection.on(Rejected), Wait);
        assert!(selection.choose(0).is_empty());
    }

    #[test]
    fn a_worker_that_was_filled_meanwhile_is_followed_by_the_next() {
        let mut selection = Selection::new(vec![0, 1]);
        selection.begin();
        assert!(selection.choose(0).is_empty());
        assert_eq!(selection.on(Rejected), Ask(1));
        selection.choose(1);
        assert_eq!(selection.on(Rejected), GiveUp);
    }

    proptest! {
        #[test]
        fn each_worker_is_asked_once_and_the_end_is_reached(
            count in 0..8_usize,
            choices in proptest::collection::vec((0..3_u8, any::<prop::sample::Index>()), 32),
        ) {
            let mut selection = Selection::new((0..count).collect());
            let mut action = selection.begin();
            let mut asked = Vec::new();
            for (choice, index) in choices {
                match action {
                    Ask(worker) => asked.push(worker),
                    Wait => {}
                    GiveUp => break,
                }
                let worker = *index.get(&selection.pending);
                action = match choice {
                    0 if selection.has_unasked() => selection.on(Stagger),
                    1 => {
                        selection.choose(worker);
                        selection.on(Rejected)
                    }
                    _ => selection.on(Unavailable(worker)),
                };
            }
            prop_assert_eq!(action, GiveUp);
            prop_assert_eq!(asked, (0..count).collect::<Vec<_>>());
        }
    }
}
