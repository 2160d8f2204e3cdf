import pytest

from textgen.model.architecture import describe_layers, weight_shapes
from textgen.settings.definitions import ModelSettings


@pytest.mark.parametrize(
    ("residual", "expected"), [(True, [False, True, True]), (False, 3 * [False])]
)
def test_the_first_layer_is_never_residual(residual: bool, expected: list[bool]) -> None:
    settings = ModelSettings(num_layers=3, residual=residual)
    assert [layer.is_residual for layer in describe_layers(settings)] == expected


def test_shapes_of_an_lstm_by_hand() -> None:
    settings = ModelSettings(embedding_size=3, rnn_size=4, num_layers=2, layer_norm=True)
    assert weight_shapes(settings, 7) == {
        "embedding/embeddings": (7, 3),
        "lstm_1/lstm_cell/kernel": (3, 16),
        "lstm_1/lstm_cell/recurrent_kernel": (4, 16),
        "lstm_1/lstm_cell/bias": (16,),
        "norm_1/gamma": (4,),
        "norm_1/beta": (4,),
        "lstm_2/lstm_cell/kernel": (4, 16),
        "lstm_2/lstm_cell/recurrent_kernel": (4, 16),
        "lstm_2/lstm_cell/bias": (16,),
        "norm_2/gamma": (4,),
        "norm_2/beta": (4,),
        "logits/kernel": (4, 7),
        "logits/bias": (7,),
    }


def test_one_hot_input_and_two_rows_of_bias() -> None:
    shapes = weight_shapes(ModelSettings(embedding_size=0, rnn_size=4, num_layers=1, cell="gru"), 7)
    assert shapes["gru_1/gru_cell/kernel"] == (7, 12)
    assert shapes["gru_1/gru_cell/bias"] == (2, 12)
