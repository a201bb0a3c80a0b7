//! What is asked of a player, carried out.

use std::time::Duration;

use changetape_core::{Position, Seq, WallTime};

use super::{Next, Player};
use crate::clock::{Clock, Instant};
use crate::page::{Item, Page};
use crate::read_ahead::AFTER_SEEK;
use crate::{Command, Error, NotDone, SeekTo, Speed};

/// How many events can be stepped at once: nothing else is carried out meanwhile but a stop.
const STEPS_AT_MOST: u64 = 10_000;

impl<C: Clock> Player<'_, C> {
    /// Carries out what was asked next, where `next` is the next event to leave.
    pub(super) fn obey(&mut self, next: &Item) -> Result<(), Error> {
        let Some(asked) = self.control.take() else { return Ok(()) };
        let done = self.carry_out(asked.command, next)?;
        if let Next::At(next) = self.next()? {
            self.begin_stretch(&next);
        }
        if let Command::Step(_) = asked.command
            && done.is_ok()
        {
            self.stepping = Some(asked);
            self.answer_steps();
        } else {
            asked.answer(done);
        }
        Ok(())
    }

    /// Carries out a command; why not, if it cannot be.
    fn carry_out(&mut self, command: Command, next: &Item) -> Result<Result<(), NotDone>, Error> {
        let now = self.clock.now();
        match command {
            Command::Resume => self.resume(now),
            Command::Toggle if self.pacer.is_paused() => self.resume(now),
            Command::Pause | Command::Toggle => self.pause(now),
            Command::Step(events) if events > STEPS_AT_MOST => {
                let sentence =
                    format!("no more than {STEPS_AT_MOST} events can be stepped at once");
                return Ok(Err(NotDone(sentence)));
            }
            Command::Step(events) => {
                // Those of an earlier command were made before this one was looked at.
                self.steps = events;
                self.pause(now);
            }
            Command::Speed(speed) => self.pacer.set_speed(speed, now, next.offset),
            Command::Faster(times) => {
                let Speed::Factor(factor) = self.pacer.speed() else {
                    let sentence = "nothing is faster or slower than max: give a speed";
                    return Ok(Err(NotDone(sentence.into())));
                };
                let Some(speed) = Speed::factor(factor * times) else {
                    let sentence = format!("{factor}x cannot be {times} times as fast");
                    return Ok(Err(NotDone(sentence)));
                };
                self.pacer.set_speed(speed, now, next.offset);
            }
            Command::Seek(to) => return self.seek(to, next),
        }
        Ok(Ok(()))
    }

    /// Tells whoever asked for steps, once all of them were made.
    pub(super) fn answer_steps(&mut self) {
        if let Some(asked) = self.stepping.take_if(|_| self.steps == 0) {
            asked.answer(Ok(()));
        }
    }

    fn pause(&mut self, now: Instant) {
        self.pacer.pause(now);
        self.played.begin_pausing(now);
    }

    fn resume(&mut self, now: Instant) {
        self.pacer.resume(now);
        self.played.stop_pausing(now);
    }

    fn seek(&mut self, to: SeekTo, next: &Item) -> Result<Result<(), NotDone>, Error> {
        if !self.plan.may_seek {
            let sentence = "a replay that keeps how far it has come (--resume) leaves nothing out";
            return Ok(Err(NotDone(sentence.into())));
        }
        let at = |millis: i64| Position::Time(WallTime::from_millis(millis.max(0)));
        let millis = next.time.as_millis();
        let place = match to {
            SeekTo::Position(place) => place,
            SeekTo::Forward(by) => at(millis.saturating_add(whole_millis(by))),
            SeekTo::Back(by) => at(millis.saturating_sub(whole_millis(by))),
        };
        let found = match self.from.tape.find(place) {
            Ok(found) => found,
            Err(error) => return Ok(Err(NotDone(error.to_string()))),
        };
        // The clock that says where the next event is may be coarser than the one it is found by.
        let found = match to {
            SeekTo::Position(_) => found,
            SeekTo::Forward(_) => found.max(next.seq),
            SeekTo::Back(_) => found.min(next.seq),
        };
        let last = Seq::new(self.plan.range.end.get().saturating_sub(1));
        // Those behind it that were read ahead have not been played.
        let lap = self.pages.front().map_or(1, Page::lap);
        self.pages.clear();
        self.next = 0;
        self.played.seeks += 1;
        self.from.queue.seek(found.min(last).max(self.plan.range.start), lap);
        self.from.queue.wait_filled(AFTER_SEEK, self.stop);
        if let Next::At(next) = self.next()? {
            self.pacer.begin_anew(self.clock.now(), next.offset);
            self.progress.went_to(next.seq, next.time);
        }
        Ok(Ok(()))
    }

    /// The schedule has changed.
    pub(super) fn begin_stretch(&mut self, next: &Item) {
        self.played.begin_stretch();
        self.tell_schedule(next);
    }

    /// Lets others know how fast recorded time passes, and until when.
    pub(super) fn tell_schedule(&self, next: &Item) {
        self.progress.set_speed(self.pacer.speed(), self.pacer.is_paused());
        if !self.pacer.is_paced() {
            self.progress.late(Duration::ZERO);
        }
        if self.plan.tells_end && self.pacer.is_paced() && !self.pacer.is_paused() {
            self.progress.scheduled(&self.pacer, next.offset, next.time);
        } else {
            self.progress.not_scheduled();
        }
    }
}

fn whole_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
