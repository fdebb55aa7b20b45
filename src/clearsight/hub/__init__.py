"""Models on the Hugging Face Hub: their files and names there, the model card, upload and download."""
