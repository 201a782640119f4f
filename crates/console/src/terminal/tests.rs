use std::sync::{Arc, Mutex};

use indicatif::{ProgressDrawTarget, ProgressStyle, TermLike};

use super::*;

/// A terminal that remembers the lines above the cursor's, and the cursor's.
#[derive(Debug, Clone, Default)]
struct Screen(Arc<Mutex<String>>);

impl Screen {
    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn push(&self, text: &str) {
        self.0.lock().unwrap().push_str(text);
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        80
    }
    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        assert_eq!(n, 0, "the bar has one line");
        Ok(())
    }
    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        assert_eq!(n, 0, "the bar has one line");
        Ok(())
    }
    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        self.push(&format!("{text}\n"));
        Ok(())
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        self.push(text);
        Ok(())
    }
    fn clear_line(&self) -> io::Result<()> {
        let mut text = self.0.lock().unwrap();
        let line = text.rfind('\n').map_or(0, |end| end + 1);
        text.truncate(line);
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_stands_above_the_bar_and_not_in_it() {
    let mut screen = Screen::default();
    let bar = Console::default().bar;
    bar.set_length(3);
    bar.set_style(ProgressStyle::with_template("epoch {pos}/{len}").unwrap());
    bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(screen.clone())));
    bar.tick();
    assert_eq!(screen.text().trim_end(), "epoch 0/3");
    write_above(&bar, &mut screen.clone(), b"stopping\n").unwrap();
    assert_eq!(screen.text().trim_end(), "stopping\nepoch 0/3");
    bar.finish_and_clear();
    write_above(&bar, &mut screen, b"stopped\n").unwrap();
    assert_eq!(screen.text(), "stopping\nstopped\n");
}
