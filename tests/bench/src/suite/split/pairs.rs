//! One worker with two slots against the same ffmpeg command by hand, in pairs.

use anyhow::Result;
use e2e::{Plane, Sandbox, Worker, job};

use super::{film, plane, split};
use crate::{
    measure::{Finding, Series, Unit},
    plan::Plan,
    spy::Spy,
    suite::by_hand::ByHand,
};

/// What is encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    /// Name of its ratio.
    pub(super) name: &'static str,
    pub(super) seconds: u32,
    pub(super) preset: &'static str,
}

const CASES: [Case; 6] = [
    Case { name: "split/480p-60s", seconds: 60, preset: "480p_h264" },
    Case { name: "split/720p-60s", seconds: 60, preset: "720p_h264" },
    Case { name: "split/hls-60s", seconds: 60, preset: "hls_720p_abr" },
    Case { name: "split/480p-300s", seconds: 300, preset: "480p_h264" },
    Case { name: "split/720p-300s", seconds: 300, preset: "720p_h264" },
    Case { name: "split/hls-300s", seconds: 300, preset: "hls_720p_abr" },
];

/// Five pairs of each.
pub(in crate::suite) async fn run(plan: &Plan) -> Result<Vec<Finding>> {
    let site = Site::start().await;
    let plane = plane(plan, &site.sandbox, &[site.worker.address()], None).start().await;
    let mut findings = Vec::new();
    for case in plan.pick(&CASES[..], &CASES[2..3]).iter().filter(|case| plan.wants(case.name)) {
        let learned = site.learn(plan, *case).await?;
        let mut ratios = Vec::new();
        for number in 0..plan.runs(5) {
            // Who comes first takes turns, in case the machine gets hotter.
            let early = if number % 2 == 0 { Some(learned.by_hand.encode(&site.sandbox)?) } else { None };
            let by_service = learned.by_service(&plane, number).await?;
            let by_hand = early.map_or_else(|| learned.by_hand.encode(&site.sandbox), Ok)?;
            eprintln!("{}: {by_service:.1} s against {by_hand:.1} s by hand", case.name);
            ratios.push(by_service / by_hand);
        }
        findings.push(Finding::new(case.name, learned.what(), Unit::Times, Series::from(ratios)));
    }
    Ok(findings)
}

/// A worker, and another over whose shoulder one can look.
pub(super) struct Site {
    pub(super) worker: Worker,
    watched: Worker,
    spy: Spy,
    pub(super) sandbox: Sandbox,
}

impl Site {
    pub(super) async fn start() -> Self {
        let sandbox = Sandbox::new();
        let spy = Spy::new(&sandbox);
        let watched = sandbox.worker().env("FFMPEG_PATH", &spy.path.display()).start().await;
        let worker = sandbox.worker().env("MAX_CONCURRENT_JOBS", &2).start().await;
        Self { worker, watched, spy, sandbox }
    }

    /// Learns how it is encoded by hand.
    pub(super) async fn learn(&self, plan: &Plan, case: Case) -> Result<Learned> {
        let input = self.sandbox.input(&film(plan, case.seconds));
        let by_hand = ByHand::learn(&self.sandbox, &self.watched, &self.spy, &input, case.preset).await?;
        Ok(Learned { case, input, by_hand })
    }
}

/// A case that can be done either way.
pub(super) struct Learned {
    case: Case,
    input: String,
    pub(super) by_hand: ByHand,
}

impl Learned {
    /// Seconds that it takes this control plane.
    pub(super) async fn by_service(&self, plane: &Plane, number: usize) -> Result<f64> {
        let path = format!("{}/{number}.mp4", self.case.name);
        split(plane, &job(&self.input, self.case.preset, "local", &path)).await
    }

    /// What is measured.
    pub(super) fn what(&self) -> String {
        let Case { preset, seconds, .. } = self.case;
        format!("{preset}, {seconds} s, one worker with two slots: POST to COMPLETED ÷ ffmpeg by hand")
    }
}
