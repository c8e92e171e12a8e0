"""Every file of a workspace that more than one script knows, once: paths relative to the workspace, and the
inputs that stages declare of them.

Imports nothing heavy: the numbered scripts read it for ``--help``.
"""

from __future__ import annotations

from scripts.pipeline import Input
from segmentation.property_table import LABEL_ALGORITHM
from segmentation.segmenter_settings import MTCNN_FILES

# of the repository
BUNDLE = "data/embedded"
BUNDLED_GENERATOR = f"{BUNDLE}/stylegan_model.safetensors"
BUNDLED_PARSER = f"{BUNDLE}/segmentation_model.safetensors"
BUNDLED_ORACLE = f"{BUNDLE}/oracle.safetensors"
BUNDLED_IDENTITY_NETWORK = f"{BUNDLE}/identity_network.safetensors"
PHOTOGRAPH_BUNDLE = "data/photographs"
PHOTOGRAPH_PARSER = f"{PHOTOGRAPH_BUNDLE}/segmentation_model.safetensors"
PHOTOGRAPH_GENDER_HEAD = f"{PHOTOGRAPH_BUNDLE}/gender_head.safetensors"
BUNDLED_PHOTOGRAPH_PARSER = "data/photographs/segmentation_model.safetensors"
BUNDLED_IDENTITY_JUDGE = "data/photographs/judge_identity.safetensors"
BUNDLED_SKETCH_NETWORK = "data/sketch/sketch_to_portrait.safetensors"

# 00
GENERATOR = "stylegan/stylegan_model.pth"
SEGMENTATION_MODELS = "segmentation/models"
PARSER = f"{SEGMENTATION_MODELS}/segmentation_model.safetensors"
PUBLISHED_PARSER = f"{SEGMENTATION_MODELS}/segmentation_model.pt"
ORACLE = "judge/oracle.safetensors"  # the embedded world's judge; not part of the document
IDENTITY_JUDGE = "judge/identity.safetensors"  # of photographs
GENDER_JUDGE = "judge/gender.onnx"
IDENTITY_NETWORK = "stylegan_modified/identity_network.safetensors"  # of the losses

# 01
CANDIDATES = "stylegan/candidates.csv"
CANDIDATE_PICTURES = "stylegan/synthesize_results"
CANDIDATE_SHEET = "stylegan/candidates_sheet.png"
LATENTS = "stylegan/latents.safetensors"

# 02
LABELS = "cnn/synthesize_results_quality_and_gender.csv"
LABELS_RECORD = "cnn/synthesize_results_quality_and_gender.json"
FILTERS = ("gender", "quality")
FILTER_NETWORKS = "cnn/models"
FILTER_NETWORK = f"{FILTER_NETWORKS}/{{}}_model_{{}}.pt"  # of a filter and a fold
FILTER_LOGS = "cnn/log"
FOLD_LOG = f"{FILTER_LOGS}/train_log_{{}}.csv"  # one row per fold
FOLD_EPOCHS = f"{FILTER_LOGS}/epoch_detail_{{}}.csv"  # one row per fold, attempt and epoch
OUT_OF_FOLD = f"{FILTER_LOGS}/{{}}_out_of_fold.csv"
FILTER_FIGURE = f"{FILTER_LOGS}/evaluation_{{}}.png"
PREDICTIONS = "cnn/inference_result"
FILTER_PREDICTIONS = f"{PREDICTIONS}/{{}}.csv"
FILTER_SHEETS = tuple(f"cnn/{kind}_sheet.png" for kind in ("kept", "rejected", "borderline"))
FILTER_TABLE = "cnn/all_image_quality_and_gender.csv"
KEPT_PICTURES = "stylegan/synthesize_results_filtered"

# 03
FACES = "segmentation/faces.csv"
SEGMENTED = "segmentation/segmentation_results"
FACE_SHEETS = tuple(f"segmentation/faces_{kind}sheet.png" for kind in ("", "unsure_", "failed_"))

# 04
SCORES_FOLDER = "segmentation/property_score_results"
RAW_SCORES = f"{SCORES_FOLDER}/raw_scores.csv"
SCORE_TABLES = {
    1: f"{SCORES_FOLDER}/all_scores.csv",
    2: f"{SCORES_FOLDER}/all_scores_v2.csv",
    3: f"{SCORES_FOLDER}/all_scores_v3.csv",
}
SCORES = SCORE_TABLES[LABEL_ALGORITHM]  # which the later stages learn from
STATISTICS = f"{SCORES_FOLDER}/score_statistics.json"
HISTOGRAMS = f"{SCORES_FOLDER}/histograms.png"
CORRELATIONS = f"{SCORES_FOLDER}/correlations.png"
EXTREMES = f"{SCORES_FOLDER}/extremes.png"
PROPERTY_SHEET = f"{SCORES_FOLDER}/extremes_{{}}.png"
PREDICTED = f"{PREDICTIONS}/property_{{}}.csv"  # of regress_property

# 05 to 07
FINE_TUNED = {
    "v1": "stylegan_modified/stylegan_gen_fine_tuned_v1.pth",
    "v2": "stylegan_modified/stylegan_gen_fine_tuned_v2.pth",
    "v3": "stylegan_modified/stylegan_gen_fine_tuned_v3.pth",
}
PROPERTY_CNN = "stylegan_modified/stylegan_gen_fine_tuned_v2_cnn.pth"
ENCODER = "stylegan_modified/stylegan_gen_fine_tuned_v3_encoder.pth"
DISCRIMINATOR = "stylegan_modified/stylegan_dis_fine_tuned_v1.pth"
CHECKPOINTS = "stylegan_modified/checkpoints"  # and what else goes with --force
TRAIN_LOG = "stylegan_modified/train_log_{}.csv"  # of a training
CONTROL = "stylegan_modified/control_{}.json"  # of a version
PREVIEWS = "stylegan_modified/previews"
RECONSTRUCTIONS = f"{PREVIEWS}/v3_reconstructions.png"
PRACTICE = f"{CHECKPOINTS}/v2_pool.npz"  # written last: it vouches for the two others
PRACTICE_PICTURES = f"{CHECKPOINTS}/v2_pool_images.bin"
PRACTICE_LABEL_MAPS = f"{CHECKPOINTS}/v2_pool_label_maps.bin"

# 08 and 09
REGENERATED = "stylegan_modified/synthesize_results"
REGENERATED_TABLE = f"{REGENERATED}/images.csv"
EVALUATION = "evaluation/results.json"
EVALUATION_TABLE = "evaluation/results.csv"
EVALUATION_TEXT = "evaluation/results.md"
RESPONSE = "evaluation/response.png"
STRIPS = "evaluation/strips_{}.png"  # of a version, several people
DIALS = "evaluation/dials_{}.png"  # of a version, one person
EDITING_SHEET = "evaluation/editing_{}.png"  # of a version

# 20 to 27
VAE_FOLDER = "cvae"
VAE_DATASET = f"{VAE_FOLDER}/dataset"
VAE_RESIZED, VAE_AUGMENTED, VAE_FINAL = (
    f"{VAE_DATASET}/{kind}" for kind in ("resized", "augmented", "final")
)
VAE_PICTURES = f"{VAE_DATASET}/pictures.csv"
VAE_VARIANT_SHEET = f"{VAE_DATASET}/variants_sheet.png"
FINAL_SHEET = f"{VAE_DATASET}/final_sheet.png"
DECIDING_NETWORKS = f"{VAE_FOLDER}/models/decide_train_data"
DECIDING_RECORD = f"{DECIDING_NETWORKS}/held_out.json"
VAE_TABLES = f"{VAE_FOLDER}/models/data"
DECIDED = f"{VAE_TABLES}/all_output_decide_train_data.csv"
HAND_LABELLED_INPUT = f"{VAE_TABLES}/train_output_{{}}.csv"  # of a condition
DECIDED_INPUT = f"{VAE_TABLES}/all_output_{{}}.csv"  # of a condition
INPUT_NETWORKS = f"{VAE_FOLDER}/models/input_{{}}"  # of a condition
INPUT_NETWORK = f"{INPUT_NETWORKS}/model_{{}}.pt"  # of a condition and a fold
CONDITION_RECORD = f"{VAE_TABLES}/conditions.json"
CONDITION_FIGURE = f"{VAE_TABLES}/conditions.png"
VAE, VAE_ENCODER, VAE_DECODER = (
    f"{VAE_FOLDER}/{name}.pth" for name in ("cvae_model", "cvae_encoder_model", "cvae_decoder_model")
)
VAE_CHECKPOINT = f"{VAE_FOLDER}/checkpoints/cvae.pt"
VAE_LOG = f"{VAE_FOLDER}/train_log.csv"
VAE_PREVIEWS = f"{VAE_FOLDER}/previews"
VAE_SHEETS = tuple(f"{VAE_FOLDER}/{name}.png" for name in ("reconstructions", "samples"))
VAE_GENERATED = f"{VAE_FOLDER}/synthesize_results"
VAE_GENERATED_TABLE = f"{VAE_GENERATED}/images.csv"
VAE_TEST_OUTPUT = f"{VAE_FOLDER}/test_output.png"
REALNESS = f"{VAE_FOLDER}/models/realness_{{}}.pth"  # of a role
REALNESS_CHECKPOINTS = f"{VAE_FOLDER}/checkpoints/realness"
REALNESS_RECORD = f"{VAE_FOLDER}/models/realness.json"
REALNESS_SHEET = f"{VAE_FOLDER}/models/realness_sheet.png"
RETOUCHED = f"{VAE_FOLDER}/retouched"
RETOUCHING_RECORD, RETOUCHING_TEXT = (f"{RETOUCHED}/results.{kind}" for kind in ("json", "md"))
RETOUCHING_TABLE = f"{RETOUCHED}/images.csv"
RETOUCHING_SHEET = f"{RETOUCHED}/{{}}_sheet.png"  # of a method
VAE_EVALUATION = f"{VAE_FOLDER}/evaluation"
VAE_RESULTS, VAE_RESULTS_TEXT = (f"{VAE_EVALUATION}/results.{kind}" for kind in ("json", "md"))
VAE_TEMPERATURES = f"{VAE_EVALUATION}/temperatures.png"

# 30 to 33
SKETCH_TABLE = "sketch/pairs.csv"
SKETCH_PAIRS = "sketch/pairs"  # sketch and portrait side by side, a folder per split
SKETCHES = "sketch/sketches"
SKETCH_PORTRAITS = "sketch/portraits"
SKETCH_STROKES = "sketch/strokes"
SKETCH_SHEET = "sketch/pairs_sheet.png"
SKETCH_NETWORK = "sketch/sketch_to_portrait.safetensors"
SKETCH_LOG = "sketch/train_log.csv"
SKETCH_PREVIEW = "sketch/preview.png"
SKETCH_CHECKPOINT = "sketch/checkpoint.pt"
SKETCH_DRAWN = "sketch/drawn"  # of 32
SKETCH_EVALUATION = "sketch/evaluation.json"
SKETCH_EVALUATION_TABLE = "sketch/evaluation.csv"
SKETCH_EVALUATION_SHEET = "sketch/evaluation_sheet.png"

GENERATOR_INPUT = Input(GENERATOR, made_by="00_fetch_weights")
GENERATORS = {
    "base": GENERATOR_INPUT,
    "cvae": Input(VAE_DECODER, made_by="23_train_cvae"),  # of the row 20 to 27
    "v1": Input(FINE_TUNED["v1"], made_by="05_fine_tune_v1"),
    "v2": Input(FINE_TUNED["v2"], made_by="06_fine_tune_v2"),
    "v3": Input(FINE_TUNED["v3"], made_by="07_fine_tune_v3"),
}
PROPERTY_CNN_INPUT = Input(PROPERTY_CNN, made_by="06_fine_tune_v2")
ENCODER_INPUT = Input(ENCODER, made_by="07_fine_tune_v3")
MTCNN_INPUTS = tuple(
    Input(f"{SEGMENTATION_MODELS}/{name}", made_by="00_fetch_weights", optional=True)
    for name in MTCNN_FILES.values()
)
PEOPLE_JUDGE_INPUTS = tuple(
    Input(path, made_by="00_fetch_weights", optional=True) for path in (ORACLE, IDENTITY_JUDGE, GENDER_JUDGE)
)
ORACLE_INPUT = PEOPLE_JUDGE_INPUTS[0]
IDENTITY_INPUT = Input(IDENTITY_NETWORK, made_by="00_fetch_weights", optional=True)
PARSER_INPUTS = tuple(
    Input(path, made_by="00_fetch_weights", optional=True) for path in (PARSER, PUBLISHED_PARSER)
)
CANDIDATES_INPUT = Input(CANDIDATES, made_by="01_generate_candidates")
LATENTS_INPUT = Input(LATENTS, made_by="01_generate_candidates")
FILTER_TABLE_INPUT = Input(FILTER_TABLE, made_by="02_filter_candidates")
SCORES_INPUT = Input(SCORES, made_by="04_compute_property_scores")
STATISTICS_INPUT = Input(STATISTICS, made_by="04_compute_property_scores")
SKETCH_TABLE_INPUT = Input(SKETCH_TABLE, made_by="30_make_sketch_pairs")
SKETCH_NETWORK_INPUT = Input(SKETCH_NETWORK, made_by="31_train_sketch_to_portrait")
FILTER_INPUTS = tuple(
    Input(FILTER_NETWORK.format(name, 0), made_by="02_filter_candidates") for name in FILTERS
)
VAE_PICTURES_INPUT = Input(VAE_PICTURES, made_by="20_augment_pictures")
DECIDED_TABLE_INPUT = Input(DECIDED, made_by="21_decide_training_data")
CONDITIONS_INPUT = Input(CONDITION_RECORD, made_by="22_decide_inputs")
VAE_INPUT = Input(VAE, made_by="23_train_cvae")


def segmented_path(kind: str, img_no: int) -> str:
    """One of the three pictures of a face: `face`, `parsing` or `parsing_visualization`."""
    return f"{SEGMENTED}/{kind}_{img_no:06d}.png"
