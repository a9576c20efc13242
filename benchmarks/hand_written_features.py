"""The features of ``taiwan_cards`` as somebody who knows Polars would write them without a declaration."""

import polars as pl

MONTHS = ("now", "1m_ago", "2m_ago", "3m_ago", "4m_ago", "5m_ago")
EDUCATION = ("graduate_school", "university", "high_school", "other", "unstated_0", "unstated_5", "unstated_6")
STATUS, BILL, PAID = (pl.col(name).cast(pl.Float64) for name in ("repayment_status", "bill_twd", "paid_twd"))
LIMIT = pl.col("limit_twd").cast(pl.Float64)
AGO = pl.col("ago")


def features(applicants: pl.LazyFrame, statements: pl.LazyFrame) -> pl.LazyFrame:
    """Return ``applicant_id`` and the 61 scored features as float32."""
    numbered = applicants.with_row_index("row")
    past = _past(numbered, statements)
    aggregates = past.group_by("row").agg(**_aggregates())
    joined = numbered.join(aggregates, on="row", how="left", maintain_order="left")
    return joined.select("applicant_id", **{name: _float32(value) for name, value in _features().items()})


def _past(applicants: pl.LazyFrame, statements: pl.LazyFrame) -> pl.LazyFrame:
    moments = applicants.select("row", "applicant_id", "as_of")
    past = statements.join(moments, on="applicant_id").filter(pl.col("occurred_at") < pl.col("as_of"))
    position, last = pl.int_range(pl.len()), pl.col("row").ne_missing(pl.col("row").shift(-1))
    ranked = past.sort("row", "occurred_at", "event_number").select(
        "row",
        "repayment_status",
        "bill_twd",
        "paid_twd",
        rank=pl.when(last).then(position).backward_fill() - position + 1,
        ago=(pl.col("as_of") - pl.col("occurred_at")).dt.total_seconds() / 86_400,
    )
    beside = {}
    for name, value in (("status", STATUS), ("bill", BILL), ("paid", PAID)):
        ago = pl.when(value.is_not_null()).then(AGO)
        beside[f"{name}_above"] = value - value.min().over("row")
        beside[f"{name}_ago"] = ago - ago.min().over("row")
    return ranked.with_columns(**beside)


def _newest(value: pl.Expr, count: int, skip: int = 0) -> pl.Expr:
    rank = pl.col("rank")
    return value.filter((rank > skip) & (rank <= skip + count) if skip else rank <= count)


def _share(met: pl.Expr, known: pl.Expr) -> pl.Expr:
    return met.cast(pl.Float64).filter(known.is_not_null())


def _aggregates() -> dict[str, pl.Expr]:
    found = {}
    for skip, month in enumerate(MONTHS):
        found[f"status_{month}"] = _newest(STATUS, 1, skip).max()
        found[f"bill_{month}"] = _newest(BILL, 1, skip).max()
        found[f"paid_{month}"] = _newest(PAID, 1, skip).max()
    for name in ("status", "bill", "paid"):
        above, ago = pl.col(f"{name}_above"), pl.col(f"{name}_ago")
        parts = {"n": above.count(), "x": above.sum(), "t": ago.sum(), "tx": (ago * above).sum()}
        found |= {f"{name}_{part}": value for part, value in (parts | {"tt": (ago * ago).sum()}).items()}
    unpaid = _share(PAID <= 0, PAID)
    return found | {
        "worst_delay_6m": STATUS.max(),
        "worst_delay_3m": _newest(STATUS, 3).max(),
        "best_status_6m": STATUS.min(),
        "mean_status_6m": STATUS.mean(),
        "share_late_1m": _share(STATUS >= 1, STATUS).mean(),
        "share_late_2m": _share(STATUS >= 2, STATUS).mean(),
        "late_2m_in_3m": _newest(STATUS >= 2, 3).sum().cast(pl.Float64),
        "months_late": STATUS.filter(STATUS >= 1).count(),
        "months_delay": STATUS.filter(STATUS >= 1).sum(),
        "months_since_arrears": AGO.filter(STATUS >= 1).min() / 30,
        "months_since_2m_arrears": AGO.filter(STATUS >= 2).min() / 30,
        "share_revolving": _share(STATUS == 0, STATUS).mean(),
        "share_paid_in_full": _share(STATUS == -1, STATUS).mean(),
        "share_unused": _share(STATUS <= -2, STATUS).mean(),
        "bill_mean": BILL.mean(),
        "bill_mean_3m": _newest(BILL, 3).mean(),
        "bill_max": BILL.max(),
        "bill_min": BILL.min(),
        "paid_sum": PAID.sum(),
        "paid_sum_3m": _newest(PAID, 3).sum(),
        "paid_min": PAID.min(),
        "paid_min_3m": _newest(PAID, 3).min(),
        "paid_max": PAID.max(),
        "share_without_payment": unpaid.mean(),
        "share_without_payment_3m": _newest((PAID <= 0).cast(pl.Float64), 3).mean(),
        "paid_mean": PAID.mean(),
        "paid_sum_5m": _newest(PAID, 5).sum(),
        "billed_3m_before": _newest(BILL, 3, 1).sum(),
        "billed_5m_before": _newest(BILL, 5, 1).sum(),
        "billed_6m": BILL.sum(),
    }


def _slope(name: str) -> pl.Expr:
    n, x, t, tx, tt = (pl.col(f"{name}_{part}") for part in ("n", "x", "t", "tx", "tt"))
    spread = n * tt - t * t
    return pl.when((n > 1) & (spread > 0)).then(-30.0 * (n * tx - t * x) / spread)


def _ratio(of: pl.Expr | str, to: pl.Expr) -> pl.Expr:
    return pl.when(to > 0).then((pl.col(of) if isinstance(of, str) else of) / to)


def _features() -> dict[str, pl.Expr]:
    helpers = ("months_late", "months_delay", "bill_mean", "bill_mean_3m", "bill_max", "bill_min", "paid_mean")
    sums = ("paid_sum_5m", "billed_3m_before", "billed_5m_before", "billed_6m")
    as_they_are = [
        name
        for name in _aggregates()
        if name not in (*helpers, *sums) and not name.endswith(("_n", "_x", "_t", "_tx", "_tt"))
    ]
    found = {name: pl.col(name) for name in as_they_are}
    found |= {f"utilisation_{month}": _ratio(f"bill_{month}", LIMIT) for month in MONTHS}
    found |= {f"utilisation_{kind}": _ratio(f"bill_{kind}", LIMIT) for kind in ("mean", "mean_3m", "max", "min")}
    return found | {
        "limit_twd": LIMIT,
        "education": pl.col("education").replace_strict(
            EDUCATION, range(len(EDUCATION)), default=None, return_dtype=pl.Float64
        ),
        "status_trend": _slope("status"),
        "months_delay_total": pl.when(pl.col("months_late") > 0).then("months_delay"),
        "utilisation_trend": _ratio(_slope("bill"), LIMIT),
        "headroom_twd": LIMIT - pl.col("bill_now"),
        "paid_to_limit": _ratio("paid_mean", LIMIT),
        "paid_trend_to_limit": _ratio(_slope("paid"), LIMIT),
        "paid_share_now": _ratio("paid_now", pl.col("bill_1m_ago")),
        "paid_share_1m_ago": _ratio("paid_1m_ago", pl.col("bill_2m_ago")),
        "paid_share_2m_ago": _ratio("paid_2m_ago", pl.col("bill_3m_ago")),
        "paid_share_3m": _ratio("paid_sum_3m", pl.col("billed_3m_before")),
        "paid_share_5m": _ratio("paid_sum_5m", pl.col("billed_5m_before")),
        "unpaid_to_limit": _ratio(pl.col("billed_6m") - pl.col("paid_sum"), LIMIT),
    }


def _float32(value: pl.Expr) -> pl.Expr:
    single = value.cast(pl.Float32)
    return pl.when(single.is_finite()).then(single)
