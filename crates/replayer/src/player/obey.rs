//! What is asked of a player, carried out.

use changetape_core::{Position, Seq, WallTime};

use super::{Next, Player};
use crate::clock::Clock;
use crate::page::Item;
use crate::{Command, Error, NotDone, SeekTo, Speed};

impl<C: Clock> Player<'_, C> {
    /// Carries out what was asked next, where `next` is the next event to leave.
    pub(super) fn obey(&mut self, next: &Item) -> Result<(), Error> {
        let Some(asked) = self.control.take() else { return Ok(()) };
        let done = match asked.command {
            Command::Pause => self.pause(),
            Command::Resume => self.resume(),
            Command::Toggle if self.pacer.is_paused() => self.resume(),
            Command::Toggle => self.pause(),
            Command::Step(events) => {
                self.steps = self.steps.saturating_add(events);
                self.pause()
            }
            Command::Speed(speed) => self.set_speed(speed, next),
            Command::Faster(times) => match self.pacer.speed() {
                Speed::Factor(factor) => match Speed::factor(factor * times) {
                    Some(speed) => self.set_speed(speed, next),
                    None => Err(NotDone(format!("there is no speed {times} times as high"))),
                },
                Speed::Max => {
                    Err(NotDone("nothing is faster or slower than max: give a speed".into()))
                }
            },
            Command::Seek(to) => self.seek(to, next)?,
        };
        if let Next::At(next) = self.next()? {
            self.tell_schedule(&next);
        }
        asked.answer(done);
        Ok(())
    }

    fn pause(&mut self) -> Result<(), NotDone> {
        let now = self.clock.now();
        self.pacer.pause(now);
        self.played.begin_pausing(now);
        Ok(())
    }

    fn resume(&mut self) -> Result<(), NotDone> {
        let now = self.clock.now();
        self.steps = 0;
        self.pacer.resume(now);
        self.played.stop_pausing(now);
        Ok(())
    }

    fn set_speed(&mut self, speed: Speed, next: &Item) -> Result<(), NotDone> {
        self.pacer.set_speed(speed, self.clock.now(), next.offset);
        Ok(())
    }

    fn seek(&mut self, to: SeekTo, next: &Item) -> Result<Result<(), NotDone>, Error> {
        if !self.plan.may_seek {
            let sentence = "a replay that keeps how far it has come (--resume) leaves nothing out";
            return Ok(Err(NotDone(sentence.into())));
        }
        let moved = |millis: i64| WallTime::from_millis(millis.max(0));
        let millis = next.time.as_millis();
        let place = match to {
            SeekTo::Position(place) => place,
            SeekTo::Forward(by) => Position::Time(moved(millis.saturating_add(whole_millis(by)))),
            SeekTo::Back(by) => Position::Time(moved(millis.saturating_sub(whole_millis(by)))),
        };
        let found = match self.from.tape.find(place) {
            Ok(found) => found,
            Err(error) => return Ok(Err(NotDone(error.to_string()))),
        };
        let last = Seq::new(self.plan.range.end.get().saturating_sub(1));
        self.pages.clear();
        self.next = 0;
        self.played.seeks += 1;
        self.from.queue.seek(found.min(last).max(self.plan.range.start));
        self.from.queue.wait_filled(self.stop);
        if let Next::At(next) = self.next()? {
            self.pacer.begin_anew(self.clock.now(), next.offset);
        }
        Ok(Ok(()))
    }

    /// Lets others know how fast recorded time passes, and until when.
    pub(super) fn tell_schedule(&self, next: &Item) {
        self.progress.set_speed(self.pacer.speed(), self.pacer.is_paused());
        if self.plan.tells_end && self.pacer.is_paced() && !self.pacer.is_paused() {
            self.progress.scheduled(&self.pacer, next.offset, next.time);
        } else {
            self.progress.not_scheduled();
        }
    }
}

fn whole_millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
