//! What all panels of axes have in common: layout, colours, ticks, and what is written above the axes.

use std::sync::Arc;

use kuva::render::layout::{ComputedLayout, Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::{Scene, TextAnchor, render_multiple};
use kuva::render::theme::Theme as KuvaTheme;

use crate::chart::image::text::{FONTS, plain, text, text_width};
use crate::chart::{Panel, Theme, Ticks, number};

pub(super) const TICK_SIZE: u32 = 12;
const LABEL_SIZE: u32 = 14;

/// Above the axes, where it is written what goes up and down: kuva's raster backend blurs turned text.
pub(super) const TOP: f64 = 36.0;

/// What a panel's title takes above that.
const TITLE_HEIGHT: f64 = 26.0;

/// A layout with what all panels have in common.
pub(super) fn layout(panel: &Panel, plots: &[Plot], size: (f64, f64), theme: Theme) -> Layout {
    let mut layout = Layout::auto_from_plots(plots)
        .with_width(size.0)
        .with_height(size.1)
        .with_theme(kuva_theme(theme))
        .with_title_size(16)
        .with_label_size(LABEL_SIZE)
        .with_tick_size(TICK_SIZE)
        .with_body_size(TICK_SIZE)
        .with_legend_box(false)
        .with_x_label(plain(&panel.x.label));
    layout.force_margin_top = Some(TOP);
    if let Some(title) = &panel.title {
        layout = layout.with_title(plain(title));
        layout.height = layout.height.map(|height| height + TITLE_HEIGHT);
        layout.force_margin_top = Some(TOP + TITLE_HEIGHT);
    }
    if let Some(format) = tick_format(&panel.x.ticks) {
        layout = layout.with_x_tick_format(format);
    }
    if let Some(format) = tick_format(&panel.y.ticks) {
        layout = layout.with_y_tick_format(format);
    }
    layout
}

/// Draws plots, and above the axes what goes up and down.
pub(super) fn rendered(panel: &Panel, plots: Vec<Plot>, layout: Layout) -> (Scene, ComputedLayout) {
    let computed = ComputedLayout::from_layout(&layout);
    let mut scene = render_multiple(plots, layout);
    // Above the ticks' labels, as a table's head; a longer one begins with them.
    let axis = computed.margin_left - computed.tick_label_margin;
    let room = axis - 4.0;
    let (x, anchor) = match text_width(&panel.y.label, LABEL_SIZE) <= room {
        true => (axis, TextAnchor::End),
        false => (
            4.0_f64.max(axis - computed.y_tick_label_px),
            TextAnchor::Start,
        ),
    };
    let y = head(&computed);
    scene.add(text(x, y, &panel.y.label, LABEL_SIZE, anchor, None));
    (scene, computed)
}

/// Where it is written what goes up and down.
pub(super) fn head(computed: &ComputedLayout) -> f64 {
    computed.margin_top - 14.0
}

fn kuva_theme(theme: Theme) -> KuvaTheme {
    KuvaTheme {
        background: theme.ground().to_owned(),
        axis_color: theme.muted().to_owned(),
        grid_color: theme.grid().to_owned(),
        tick_color: theme.muted().to_owned(),
        text_color: theme.text().to_owned(),
        legend_bg: theme.ground().to_owned(),
        legend_border: theme.grid().to_owned(),
        colorbar_border: theme.muted().to_owned(),
        font_family: Some(FONTS.to_owned()),
        ..KuvaTheme::light()
    }
}

pub(super) fn tick_format(ticks: &Ticks) -> Option<TickFormat> {
    match ticks {
        Ticks::Numbers => Some(TickFormat::Custom(Arc::new(number))),
        Ticks::Powers => Some(TickFormat::Custom(Arc::new(|value| {
            Ticks::Powers.format(value)
        }))),
        Ticks::Whole => Some(TickFormat::Integer),
        // There is no more than all.
        Ticks::Shares => Some(TickFormat::Custom(Arc::new(|value| {
            match value > 1.0 + 1e-9 {
                true => String::new(),
                false => Ticks::Shares.format(value),
            }
        }))),
        Ticks::Names(_) => None,
    }
}

/// The smallest and the largest of one coordinate.
pub(super) fn span<'a>(
    points: impl Iterator<Item = &'a [f64; 2]>,
    coordinate: usize,
) -> Option<(f64, f64)> {
    points
        .map(|point| point[coordinate])
        .fold(None, |span, value| {
            let (low, high) = span.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        })
}
