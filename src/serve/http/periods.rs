//! The published periods, and responses with the plays of one period.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as Parameters, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::engine::epoch::EpochPeriods;
use crate::publish::periods::PeriodIndex;
use crate::serve::http::context::Context;
use crate::serve::http::response::{Problem, json_of_epoch, respond_from};
use crate::serve::view::View;
use crate::serve::view::period_views::PeriodError;
use crate::time::period::{Length, Period};

/// Time between two attempts to open a table that is being replaced.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// Number of attempts. Together, they take two seconds.
const ATTEMPTS: u32 = 40;

/// The parameter `period`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeriodParams {
    period: Option<String>,
}

pub(super) type PeriodQuery = Result<Parameters<PeriodParams>, QueryRejection>;

/// The period that a request asks for; `None` for all time.
pub(super) fn requested_period(params: PeriodQuery) -> Result<Option<Period>, Problem> {
    let Parameters(params) = params.map_err(|cause| Problem::bad_request(cause.body_text()))?;
    parse_period(params.period.as_deref())
}

/// Parses the parameter `period`.
pub(super) fn parse_period(text: Option<&str>) -> Result<Option<Period>, Problem> {
    let parse = |text: &str| text.parse().map_err(|cause| Problem::bad_request(format!("period: {cause}")));
    text.map(parse).transpose()
}

/// Computes a response from the view of a period, or of all time without a period. If a table of the period
/// is being replaced, tries again with the next epoch.
pub(super) async fn respond_for(
    context: Arc<Context>,
    period: Option<Period>,
    make: impl Fn(&View) -> Result<Response, Problem> + Send + Sync + 'static,
) -> Result<Response, Problem> {
    let make = Arc::new(make);
    let mut attempt = 1;
    loop {
        let (context, make) = (Arc::clone(&context), Arc::clone(&make));
        let response = respond_from(context.view()?, move |all| match period {
            Some(period) => make(&view_of(&context, all, period)?),
            None => make(all),
        });
        match response.await {
            Err(problem) if problem.is_temporary() && attempt < ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            response => return response,
        }
    }
}

fn view_of(context: &Context, all: &View, period: Period) -> Result<View, Problem> {
    let view = context.period_views.view(all, period, &context.settings.output);
    view.map_err(|error| match error {
        PeriodError::NotPublished(message) => Problem::not_found(message),
        PeriodError::Unreadable(cause) => Problem::unreadable(&cause),
    })
}

/// All published periods.
pub(super) async fn periods(State(context): State<Arc<Context>>) -> Result<Response, Problem> {
    respond_from(context.view()?, |view| Ok(json_of_epoch(view, &periods_json(view)))).await
}

fn periods_json(view: &View) -> Value {
    let EpochPeriods { indexes, rules, latest_day, .. } = &view.snapshot.periods;
    let kept = Length::ALL.map(|length| (length.name().to_owned(), json!(rules.kept(length))));
    let published = Length::ALL.map(|length| {
        let of_length: Vec<(&Period, &Arc<PeriodIndex>)> =
            indexes.iter().filter(|(period, _)| period.length == length).collect();
        let name = |place: Option<usize>| Some(of_length.get(place?)?.1.period.as_str());
        let period = |(place, (period, index)): (usize, &(&Period, &Arc<PeriodIndex>))| {
            json!({
                "period": index.period,
                "length": index.length,
                "from": index.from,
                "to": index.to,
                "plays": index.plays,
                "open": period.is_still_open(*latest_day),
                "previous": name(place.checked_sub(1)),
                "next": name(Some(place + 1)),
            })
        };
        let listed: Vec<Value> = of_length.iter().enumerate().rev().map(period).collect();
        (length.name().to_owned(), listed.into())
    });
    json!({
        "epoch": view.snapshot.manifest.epoch,
        "kept": kept.into_iter().collect::<Map<_, _>>(),
        "latest": rules.latest,
        "latest_day": latest_day.map(|day| Period::of_day(Length::Day, day).to_string()),
        "periods": published.into_iter().collect::<Map<_, _>>(),
    })
}
