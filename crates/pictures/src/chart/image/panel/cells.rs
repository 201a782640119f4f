//! A grid of coloured cells, and its colour bar.

use std::sync::Arc;

use kuva::plot::{ColorMap, Heatmap};
use kuva::render::layout::ComputedLayout;
use kuva::render::plots::Plot;
use kuva::render::render::{Scene, TextAnchor};

use super::frame::{TICK_SIZE, TOP, head, layout, rendered, tick_format};
use crate::chart::colours::text_on;
use crate::chart::image::WIDTH;
use crate::chart::image::text::{plain, text, text_width};
use crate::chart::{Cells, Panel, Theme, thinned};

/// Of what a colour bar and its labels take beside a grid.
const COLOUR_BAR_WIDTH: f64 = 110.0;

/// How large cells are, and which of the names beside them are written.
struct Grid {
    /// Of a cell, in pixels.
    column_width: f64,
    row_height: f64,
    /// Of the whole picture: the cells, what stands beside and below them.
    size: (f64, f64),
    /// Whether the names of columns are turned, since they have no room beside each other.
    turned: bool,
    /// How many names there is room for.
    columns_written: usize,
    rows_written: usize,
}

impl Grid {
    fn of(columns: &[String], rows: &[String]) -> Self {
        let margin = longest(rows) + 60.0;
        let room = WIDTH - margin - COLOUR_BAR_WIDTH;
        let column_width = (room / columns.len() as f64).min(64.0);
        let row_height = (560.0 / rows.len() as f64).clamp(3.0, 40.0);
        // Of names that do not fit beside each other every second one is written, longer ones are turned, and
        // where there are many, more are left out.
        let longest_column = longest(columns) + 8.0;
        let turned = longest_column > 2.0 * column_width && columns.len() <= 40;
        let (per_column, below) = match turned {
            true => (f64::from(TICK_SIZE) + 4.0, longest_column * 0.72 + 50.0),
            false => (longest_column, 60.0),
        };
        let across = column_width * columns.len() as f64;
        let down = row_height * rows.len() as f64;
        Self {
            column_width,
            row_height,
            size: (
                (margin + COLOUR_BAR_WIDTH + across).max(420.0),
                TOP + below + down,
            ),
            turned,
            columns_written: (across / per_column) as usize,
            rows_written: (down / (f64::from(TICK_SIZE) + 1.0)) as usize,
        }
    }

    /// Which part of its place a cell fills: few are told apart by more than their colours.
    fn cell_size(&self) -> f64 {
        match self.row_height < 12.0 || self.column_width < 12.0 {
            true => 1.0,
            false => 0.96,
        }
    }
}

/// How wide the longest of some names is, in pixels.
fn longest(names: &[String]) -> f64 {
    let widths = names.iter().map(|name| text_width(name, TICK_SIZE));
    widths.fold(0.0, f64::max)
}

pub(super) fn scene(panel: &Panel, cells: &Cells, theme: Theme) -> Scene {
    let (columns, rows) = (panel.x.name_list(), panel.y.name_list());
    let grid = Grid::of(columns, rows);
    let plots = vec![Plot::Heatmap(heatmap(cells, grid.cell_size(), theme))];
    let names = |names: &[String], room: usize| -> Vec<String> {
        let names = thinned(names, room);
        names.iter().map(|name| plain(name)).collect()
    };
    let mut rows_shown = names(rows, grid.rows_written);
    rows_shown.reverse();
    let mut layout = layout(panel, &plots, grid.size, theme)
        .with_show_grid(false)
        .with_x_categories(names(columns, grid.columns_written))
        .with_y_categories(rows_shown);
    if grid.turned {
        layout = layout.with_x_tick_rotate(-45.0);
    }
    if let Some(format) = tick_format(&cells.ticks) {
        layout = layout.with_colorbar_tick_format(format);
    }
    let (mut scene, computed) = rendered(panel, plots, layout);
    write_into_cells(&mut scene, cells, &computed, theme);
    let (x, y) = (computed.width - 6.0, head(&computed));
    scene.add(text(x, y, &cells.legend, TICK_SIZE, TextAnchor::End, None));
    scene
}

/// The cells, from the lowest row up.
fn heatmap(cells: &Cells, cell_size: f64, theme: Theme) -> Heatmap {
    let (low, high) = cells.range().unwrap_or((0.0, 0.0));
    let scale = cells.scale;
    // kuva gives the place between the smallest and the largest value.
    let colour = move |part: f64| scale.colour(low + part * (high - low), (low, high), theme);
    let values = cells.values.iter().rev().map(|row| {
        let values = row.iter().map(|value| value.unwrap_or(f64::NAN));
        values.collect::<Vec<f64>>()
    });
    Heatmap::new()
        .with_data(values.collect::<Vec<_>>())
        .with_color_map(ColorMap::Custom(Arc::new(colour)))
        .with_cell_size(cell_size)
}

fn write_into_cells(scene: &mut Scene, cells: &Cells, computed: &ComputedLayout, theme: Theme) {
    let Some(texts) = &cells.texts else {
        return;
    };
    for (row, (texts, values)) in texts.iter().zip(&cells.values).enumerate() {
        for (column, (content, value)) in texts.iter().zip(values).enumerate() {
            let colour = value.map(|value| text_on(&cells.colour(value, theme)));
            let x = computed.map_x(column as f64 + 1.0);
            let y = computed.map_y((cells.values.len() - row) as f64) + f64::from(TICK_SIZE) * 0.36;
            let middle = TextAnchor::Middle;
            scene.add(text(x, y, content, TICK_SIZE, middle, colour));
        }
    }
}
