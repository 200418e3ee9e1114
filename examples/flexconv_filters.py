"""One flex-convolution learns to do what Prewitt, blur and Sobel do to a photograph: a demonstration of lecture 1.

    python examples/flexconv_filters.py

Groh, Wieschollek and Lensch, "Flex-Convolution: Million-Scale Point-Cloud Learning Beyond Grid-Worlds", 2018. The
pixels are points, with the 3 x 3 pixels around each as neighbours. A flex-convolution of them has three parameters:
theta of rows, theta of columns and theta_bias. It can be Prewitt exactly, and blur and Sobel as nearly as a plane comes
to their nine numbers: theta_bias = 1/9, and theta = 4/3.

It trains on the whitened photograph, in which all frequencies are equally strong, so that no filter counts for more.
On the photograph itself pixels are like their neighbours, and the best plane for Sobel is another one: the table has
it, too, and the lecture's 1.3523 is of that kind. Prints the parameters and writes a picture, in some seconds.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from sklearn.datasets import load_sample_image

from tfdlcv.layers import FlexConv
from tfdlcv.visualization import pictures

FILTERS = {
    "Prewitt": np.array([[1.0, 0, -1], [1, 0, -1], [1, 0, -1]]),
    "blur": np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16,
    "Sobel": np.array([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]]),
}
# theta of rows, theta of columns, theta_bias: the projections of the filters onto the three planes.
OPTIMA = {"Prewitt": (0, 1, 0), "blur": (0, 0, 1 / 9), "Sobel": (4 / 3, 0, 0)}
OFFSETS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]


def main():
    """Train one layer for each filter, print what it learned and draw what it does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", default="china.jpg", choices=("china.jpg", "flower.jpg"), help="of scikit-learn")
    parser.add_argument("--steps", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("flexconv_filters.png"))
    arguments = parser.parse_args()
    photograph = photograph_of(arguments.picture)
    learned = {name: learn(whitened(photograph), kernel, arguments.steps) for name, kernel in FILTERS.items()}
    print(table(photograph, learned))
    pictures.save_png(draw(photograph, learned), arguments.output)
    print(f"written to {arguments.output}")


def photograph_of(name: str) -> np.ndarray:
    """Brightness (H, W), every second pixel, of mean 0 and variance 1."""
    gray = load_sample_image(name).mean(axis=-1)[::2, ::2]
    return (gray - gray.mean()) / gray.std()


def whitened(image: np.ndarray) -> np.ndarray:
    """The image (H, W) with all its frequencies equally strong, of mean square 1."""
    phases = np.real(np.fft.ifft2(np.exp(1j * np.angle(np.fft.fft2(image)))))
    return phases / np.sqrt(np.mean(phases**2))


def filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Cross-correlation (H - 2, W - 2) with a 3 x 3 kernel: what networks call convolution."""
    height, width = image.shape
    shifted = [image[1 + row : height - 1 + row, 1 + column : width - 1 + column] for row, column in OFFSETS]
    return sum(weight * values for weight, values in zip(kernel.reshape(-1), shifted, strict=True))


def as_points(image: np.ndarray) -> dict[str, np.ndarray]:
    """The pixels (H, W) as one cloud; those inside are the query points."""
    height, width = image.shape
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    positions = np.stack([rows, columns], axis=-1)
    number = np.arange(height * width).reshape(height, width)[1:-1, 1:-1].reshape(-1, 1)
    return {
        "features": image.reshape(1, -1, 1).astype("float32"),
        "positions": positions.reshape(1, -1, 2).astype("float32"),
        "neighbors": (number + [row * width + column for row, column in OFFSETS])[None].astype("int32"),
        "query_positions": positions[1:-1, 1:-1].reshape(1, -1, 2).astype("float32"),
    }


def network() -> keras.Model:
    """One flex-convolution without a bias: theta_row, theta_column, theta_bias."""
    shapes = {"features": (1, "float32"), "positions": (2, "float32"), "neighbors": (9, "int32")}
    inputs = {name: keras.Input((None, size), dtype=dtype, name=name) for name, (size, dtype) in shapes.items()}
    queries = keras.Input((None, 2), name="query_positions")
    outputs = FlexConv(1, use_bias=False, name="flex")([*inputs.values()], query_positions=queries)
    return keras.Model({**inputs, "query_positions": queries}, outputs)


def learn(image: np.ndarray, kernel: np.ndarray, steps: int) -> np.ndarray:
    """(theta_row, theta_column, theta_bias) after `steps` steps of gradient descent."""
    model, points = network(), as_points(image)
    # Along the three parameters the squared error of a white image has the curvatures 12, 12 and 18.
    model.compile(keras.optimizers.SGD(2 / (12 + 18)), loss="mean_squared_error")
    expected = filtered(image, kernel).reshape(1, -1, 1).astype("float32")
    model.fit(points, expected, epochs=steps, verbose=0)
    theta, theta_bias = model.get_layer("flex").get_weights()
    return np.append(theta.reshape(-1), theta_bias.reshape(-1))


def least_squares(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The best (theta_row, theta_column, theta_bias) for this image."""
    rows, columns = np.array(OFFSETS, float).T
    planes = [filtered(image, plane) for plane in (-rows, -columns, np.ones(9))]
    matrix = np.stack([plane.reshape(-1) for plane in planes], axis=1)
    return np.linalg.lstsq(matrix, filtered(image, kernel).reshape(-1), rcond=None)[0]


def residual(values: np.ndarray, kernel: np.ndarray) -> float:
    """What the plane of (theta_row, theta_column, theta_bias) leaves of the filter's nine numbers, of 1."""
    rows, columns = np.array(OFFSETS, float).T
    plane = values[2] - values[0] * rows - values[1] * columns
    return float(np.linalg.norm(kernel.reshape(-1) - plane) / np.linalg.norm(kernel))


def table(photograph: np.ndarray, learned: dict[str, np.ndarray]) -> str:
    """Learned against expected parameters and what they leave of the filter, a filter a line."""
    cells = [("", "theta_row", "theta_column", "theta_bias", "residual")]
    for name, kernel in FILTERS.items():
        best = least_squares(photograph, kernel)
        for label, values in (
            ("learned", learned[name]),
            ("analytic", OPTIMA[name]),
            ("best for the photograph", best),
        ):
            cells.append((f"{name}, {label}", *(f"{value:9.4f}" for value in (*values, residual(values, kernel)))))
    return "\n".join(f"{first:34}" + "".join(f"{cell:>14}" for cell in rest) for first, *rest in cells)


def draw(photograph: np.ndarray, learned: dict[str, np.ndarray]) -> np.ndarray:
    """A row a filter: the photograph, it filtered, and by the learned layer: (H, W, 3) uint8."""
    model, points = network(), as_points(photograph)
    figure = pictures.new_figure(900, 680)
    for row, (name, kernel) in enumerate(FILTERS.items()):
        theta_row, theta_column, theta_bias = learned[name]
        weights = [learned[name][:2].reshape(2, 1, 1), learned[name][2:].reshape(1, 1)]
        model.get_layer("flex").set_weights(weights)
        expected = filtered(photograph, kernel)
        found = np.asarray(model(points)).reshape(expected.shape)
        numbers = f"θ = ({theta_row:.4f}, {theta_column:.4f}), θ_b = {theta_bias:.4f}"
        titles = ("photograph", f"{name}: {kernel_text(kernel)}", f"learned: {numbers}")
        for column, (title, image) in enumerate(zip(titles, (photograph, expected, found), strict=True)):
            axes = figure.add_axes((0.005 + 0.333 * column, 0.01 + 0.333 * (2 - row), 0.325, 0.285))
            low, high = np.percentile(expected if column else photograph, (1, 99))
            axes.imshow(image, cmap="gray", vmin=low, vmax=high)
            axes.set_title(title, fontsize=7)
            axes.set_axis_off()
    return pictures.figure_to_picture(figure)


def kernel_text(kernel: np.ndarray) -> str:
    """Rows in brackets, of whole numbers before a common factor."""
    factor = np.abs(kernel[kernel != 0]).min()
    rows = " ".join(f"[{' '.join(f'{value / factor:.0f}' for value in row)}]" for row in kernel)
    return rows if factor == 1 else f"{rows} / {1 / factor:.0f}"


if __name__ == "__main__":
    main()
