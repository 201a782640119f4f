# Made by `python -m stratigraph_nn._queries`; a test holds it to the queries that there are.
from typing import Any

from . import _native
from ._result import Result

class Queries:
    _native: _native.Run
    def query(self, name: str, /, *, wide: bool = ..., **parameters: Any) -> Result: ...
    def classification_series(
        self,
        *,
        epoch: int | str | None = None,
        sample: int | str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """Every output of the network for every held-out sample, epoch after epoch, as one long
        series."""
    def padded(
        self,
        *,
        epoch: int | str | None = None,
        layer: str | None = None,
        width: int | str | None = 'auto',
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """Every neuron's incoming weights at every epoch, filled up with 0.0 to one width, beside
        what the network made of the first held-out sample at that epoch."""
    def by_layer(
        self,
        *,
        layer: str | None = 'first',
        epoch: int | str | None = None,
        width: int | str | None = 'auto',
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """The rows of `padded` of one layer."""
    def by_neuron(
        self,
        *,
        layer: str | None = None,
        width: int | str | None = 'auto',
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """Each neuron's incoming weights, averaged element by element over all epochs and filled up
        with 0.0 to one width."""
    def epoch_average(
        self,
        *,
        layer: str | None = None,
        width: int | str | None = 'auto',
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """The rows of `padded`, followed by one average over all epochs a layer and neuron."""
    def by_neuron_activations(
        self,
        *,
        layer: str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """Each neuron's activations of the held-out samples, averaged sample by sample over all
        epochs."""
    def epoch_average_activations(
        self,
        *,
        layer: str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """Every neuron's activations of the held-out samples at every epoch, followed by one average
        over all epochs a layer and neuron."""
    def connections(
        self,
        *,
        epoch: int | str | None = None,
        layer: str | None = None,
        neuron: int | str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """Every weight at every epoch, with the input or the neuron that it comes from."""
    def coactivation(
        self,
        *,
        epoch: int | str | None = 'last',
        top: int | str | None = 20,
        layer: str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """The pairs of neurons whose activations on the held-out samples are correlated the most:
        neurons that fire together, and neurons of which one fires where the other does not."""
    def strongest_paths(
        self,
        *,
        epoch: int | str | None = 'last',
        top: int | str | None = 20,
        class_: int | str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """The strongest chains of weights from an input through the neurons to an output."""
    def correct_vs_incorrect(
        self,
        *,
        epoch: int | str | None = None,
        layer: str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """How each neuron's activation differs between the held-out samples that the network was
        right about and those that it was wrong about, and how far apart these lie in each layer."""
    def class_selectivity(
        self,
        *,
        epoch: int | str | None = None,
        layer: str | None = None,
        class_: int | str | None = None,
        top: int | str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """What each neuron makes of the held-out samples of each class at every epoch, which class
        it prefers, and how much."""
    def weight_drift(
        self,
        *,
        epoch: int | str | None = None,
        layer: str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """How far each neuron's incoming weights moved at every epoch: from where they were at the
        recorded epoch before, and from where they were first recorded."""
    def layer_profile(
        self,
        *,
        epoch: int | str | None = None,
        layer: str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """What each layer is like at every epoch: how large its weights are, how far they spread,
        and how much of it is silent on the held-out samples."""
    def dead_neurons(
        self,
        *,
        epoch: int | str | None = None,
        layer: str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """Neurons whose activation is 0 for every held-out sample, and since when."""
    def structure_scores(
        self,
        *,
        epoch: int | str | None = 'last',
        class_: int | str | None = None,
        layer: str | None = None,
        top: int | str | None = 20,
        measure: str | None = 'correlation',
        permutations: int | str | None = 1000,
        bootstraps: int | str | None = 0,
        size: int | str | None = 5,
        half: str | None = 'all',
        seed: int | str | None = 42,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """Where and when neurons take part in an output: how strongly each neuron's activations go
        with each class that the network predicts, over the held-out samples, with the strongest
        neurons of each class first."""
    def structure_onset(
        self,
        *,
        epoch: int | str | None = 'last',
        class_: int | str | None = None,
        layer: str | None = None,
        top: int | str | None = 5,
        sign: str | None = 'positive',
        percent: float | str | None = 5,
        measure: str | None = 'correlation',
        permutations: int | str | None = 199,
        half: str | None = 'all',
        seed: int | str | None = 42,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """When neurons began to take part in an output: of the neurons whose activations go with a
        class at an epoch more than chance explains, the first epoch from which they did so at
        every epoch up to it."""
    def class_changes(
        self,
        *,
        layer: str | None = None,
        percent: float | str | None = 5,
        permutations: int | str | None = 199,
        half: str | None = 'all',
        seed: int | str | None = 42,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """Neurons that change class: where the class that a neuron is most active with is another
        one than at the epoch before at which it had one."""
    def rank_stability(
        self,
        *,
        class_: int | str | None = None,
        layer: str | None = None,
        top: int | str | None = 5,
        measure: str | None = 'correlation',
        half: str | None = 'all',
        seed: int | str | None = 42,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """How steady the order of the neurons is: of each class, the ranks that structure_scores
        gives at an epoch, against those at the epoch before."""
    def linear_probe(
        self,
        *,
        epoch: int | str | None = 'last',
        class_: int | str | None = None,
        layer: str | None = None,
        neurons: list[int] | int | str | None = None,
        half: str | None = 'all',
        seed: int | str | None = 42,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """How well a layer's neurons tell each class jointly: a linear probe (logistic regression
        with an L2 penalty of C = 1, on standardised activations) of whether the network predicts
        the class, judged on held-out samples that it was not fitted to, by five-fold cross-
        validation."""
    def meta_model(
        self,
        *,
        epoch: int | str | None = 'last',
        layer: str | None = None,
        top: int | str | None = 20,
        trees: int | str | None = 100,
        seed: int | str | None = 42,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """What neurons tell of whether the network is right: two models of it, fitted to the
        neurons' activations and judged on held-out samples that they were not fitted to, by five-
        fold cross-validation, and how much each neuron matters to them."""
    def learning_curve(
        self,
        *,
        phase: str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """Loss and accuracy of each epoch, in training and on the held-out set, as last reported."""
    def confusion(
        self,
        *,
        epoch: int | str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """How many held-out samples of each class were taken for which."""
    def cartography(
        self,
        *,
        class_: int | str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """How the network came to terms with each held-out sample over training: whether it is easy
        (confidence high, variability low), hard (both low) or ambiguous (variability high)."""
    def ablation_effects(
        self,
        *,
        epoch: int | str | None = None,
        metric: str | None = 'accuracy',
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """What silencing neurons did to the class that they are said to go with, and to the others:
        an ablation a row, of those that were made (`recorder ablate`)."""
    def overhead(
        self,
        *,
        epoch: int | str | None = None,
        captures: str | None = 'last',
        initial: bool | None = False,
        wide: bool = False,
    ) -> Result:
        """What recording cost, stage by stage, and whether any capture was thinned out or dropped:
        the figures that the recorder and the sink report of themselves, over the whole run."""

def stub() -> str: ...
