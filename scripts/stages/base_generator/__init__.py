"""train_stylegan: plan, pictures, loop, previews and KID of a base generator."""
