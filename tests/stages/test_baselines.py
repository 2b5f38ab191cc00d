"""A small CNN and torchvision's ResNet-18 through the real stages, exported and served."""

import json
import shutil
from io import BytesIO
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

import stages.download
import stages.evaluate
import stages.pack
import stages.split
import stages.train
from stages.register import gather
from tests.conftest import clone
from tests.presets import write_preset
from tests.shapes import CLASSES
from vit.errors import UserError
from vit.export import TOLERANCE, check_parity, to_torch
from vit.files import read_json, read_table
from vit.inference import Classifier
from vit.params_file import load_params
from vit.registry.cost import cost_of
from vit.registry.served import save_served
from vit.serving.refusal import Refusal
from vit.serving.settings import Limits
